package interop

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	"ihyid/api"
	"ihyid/test/harness"
)

// The description of the API is valid OpenAPI 3.1 by another program's reading of that specification.
func TestOpenAPI(t *testing.T) {
	f := start(t)
	program, remove, err := harness.Build()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	n := harness.New(t, program).Add("alpha")
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return api.DialSocket(ctx, n.Data) }}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://node/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		t.Fatal(err)
	}
	var document object
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	answer := f.ask(t, object{"op": "openapi", "document": document})
	if answer["valid"] != true || answer["version"] != "3.1" {
		t.Errorf("%v", answer)
	}
	document["paths"].(object)["/contacts"].(object)["get"].(object)["responses"] = "none"
	if answer = f.ask(t, object{"op": "openapi", "document": document}); answer["valid"] == true {
		t.Error("the other program finds a broken description valid")
	}
}
