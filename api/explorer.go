package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"

	"github.com/gorilla/mux"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

const routeDocs = "/docs"

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// routeExplorer serves a page that shows /openapi.json and lets people try it. All it consists of is in the program. Its
// policy lets it load what this node serves, and run the scripts that stand in the page, by their hashes.
func (s *Server) routeExplorer(router *mux.Router) error {
	assets := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Ihyid node", SwaggerJSON: "/openapi.json", BasePath: routeDocs + "/",
		SettingsUI: map[string]string{"validatorUrl": "null"},
	})
	// The page is the same for everybody: it is made once.
	made := httptest.NewRecorder()
	assets.ServeHTTP(made, httptest.NewRequest(http.MethodGet, routeDocs+"/", nil))
	page := bytes.Clone(made.Body.Bytes())
	scripts := inlineScript.FindAllSubmatch(page, -1)
	if made.Code != http.StatusOK || len(scripts) == 0 {
		return errors.New("api: the explorer's page is not as expected")
	}
	hashes := ""
	for _, script := range scripts {
		hash := sha256.Sum256(script[1])
		hashes += " 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
	}
	policy := "default-src 'none'; script-src 'self'" + hashes + "; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	head := func(w http.ResponseWriter) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
	}
	router.Path(routeDocs).Methods(http.MethodGet).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, routeDocs+"/", http.StatusPermanentRedirect)
	}).Name("explorer")
	router.Path(routeDocs + "/").Methods(http.MethodGet).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head(w)
		answer(w, "text/html; charset=utf-8", page)
	}).Name("explorer")
	router.Path(routeDocs + "/{file:[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)*}").Methods(http.MethodGet).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head(w)
		assets.ServeHTTP(w, r)
	}).Name("explorer")
	return nil
}
