package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ihyid/test/harness"
)

// TestExplorerInABrowser opens /docs of a real node in a real Chromium: it shows every operation, asks nobody else for anything, has no error on its console,
// is held by its policy, and an operation can be tried out with an API token.
func TestExplorerInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	n := harness.New(t, program).Add("alpha")
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	user, err := n.Client.AddUser(ctx, "fatima", "operator", "correct horse battery")
	harness.Check(t, err)
	token, err := n.Client.CreateAPIToken(ctx, user.ID, "explorer", []string{"contacts:read"}, 1)
	harness.Check(t, err)
	job, err := n.Import([]byte("first_name,last_name\nRana,Example\n"))
	harness.Check(t, err)
	n.Job(job.ID)

	origin := fmt.Sprintf("https://localhost:%d", n.Port)
	b.must(t, b.session, "Page.navigate", map[string]any{"url": origin + "/docs"})
	// Every operation of the description is on the page.
	b.await(t, `(() => { const shown = document.querySelectorAll(".opblock .opblock-summary-path"); return location.pathname === "/docs/" && shown.length })()`)
	described := b.eval(t, `fetch("/openapi.json").then(r => r.json()).then(d => JSON.stringify(Object.values(d.paths).map(p => Object.keys(p).filter(m => ["get", "put", "post", "delete", "patch"].includes(m)).length)))`)
	var each []float64
	harness.Check(t, json.Unmarshal([]byte(described.(string)), &each))
	total := 0.0
	for _, c := range each {
		total += c
	}
	if operations := b.await(t, fmt.Sprintf(`document.querySelectorAll(".opblock .opblock-summary-path").length >= %v && document.querySelectorAll(".opblock .opblock-summary-path").length`, total)); operations != total || total < 50 {
		t.Errorf("the page shows %v operations, the description has %v", operations, total)
	}
	// Try one out: first as nobody, then with the token.
	const find = `[...document.querySelectorAll(".opblock-get")].find(o => o.querySelector('.opblock-summary-path[data-path="/contacts"]'))`
	click := func(what string) {
		t.Helper()
		b.await(t, `(() => { const e = `+what+`; if (e) e.click(); return e && true })()`)
	}
	click(`document.querySelector(".auth-wrapper .btn.authorize")`)
	b.await(t, `(() => {
		const field = document.querySelector(".auth-container input");
		if (!field) return false;
		Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, "`+token.Secret+`");
		field.dispatchEvent(new Event("input", {bubbles: true}));
		return true;
	})()`)
	click(`document.querySelector(".auth-btn-wrapper button.authorize")`)
	click(`document.querySelector(".auth-btn-wrapper button.btn-done")`)
	click(`(` + find + `)?.querySelector(".opblock-summary-control")`)
	click(`(` + find + `)?.querySelector("button.try-out__btn")`)
	click(`(` + find + `)?.querySelector("button.execute")`)
	answer := b.await(t, `(`+find+`)?.querySelector(".live-responses-table .response")?.innerText`).(string)
	if !strings.Contains(answer, "200") || !strings.Contains(answer, "Rana") {
		t.Errorf("trying out GET /contacts with a token answers %q", answer)
	}
	b.mu.Lock()
	problems, requests := slices.Clone(b.problems), slices.Clone(b.requests)
	b.mu.Unlock()
	if len(problems) > 0 {
		t.Errorf("the console has errors: %q", problems)
	}
	for _, url := range requests {
		if !strings.HasPrefix(url, origin+"/") && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:"+origin+"/") {
			t.Errorf("the page asked elsewhere: %s", url)
		}
		if strings.Contains(url, token.Secret) {
			t.Error("the token stands in a URL")
		}
	}
	if !slices.Contains(requests, origin+"/openapi.json") || len(requests) < 4 {
		t.Errorf("the page asked for %q only", requests)
	}
	// The policy holds: a script that is put into the page does not run, and nobody else can be told anything.
	for what, do := range map[string]string{
		"script-src":  `(() => { const s = document.createElement("script"); s.textContent = "window.foreign = true"; document.body.append(s) })()`,
		"connect-src": `fetch("https://elsewhere.invalid/").catch(() => 0)`,
		"img-src":     `new Image().src = "https://elsewhere.invalid/x.png"`,
		"form-action": `(() => { const f = document.createElement("form"); f.action = "https://elsewhere.invalid/"; document.body.append(f); f.submit() })()`,
	} {
		got := b.eval(t, `new Promise(kept => { document.addEventListener("securitypolicyviolation", e => kept(e.effectiveDirective), {once: true}); `+do+`; setTimeout(() => kept("nothing"), 10000) })`)
		if !strings.HasPrefix(fmt.Sprint(got), what) {
			t.Errorf("%s: the policy stops %v", what, got)
		}
	}
	if b.eval(t, `window.foreign === undefined`) != true {
		t.Error("a foreign script ran")
	}
}
