//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"path/filepath"
	"testing"

	"ihyid/kms"
	"ihyid/kms/file"
)

// TestMigrate moves a node from the file to a token: the wrapped things follow,
// and both sets of signing keys work meanwhile.
func TestMigrate(t *testing.T) {
	old, err := file.Create(filepath.Join(t.TempDir(), "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	oldKey, _ := newKey(t, old)
	sealed, err := kms.GenerateHPKE(t.Context(), old, kms.HPKEHybrid, "keyAgreement")
	if err != nil {
		t.Fatal(err)
	}
	token := mustCreate(t, newToken(t, folder(t), "one"))
	both := kms.Succession(token, old)
	fresh, sg := newKey(t, both)
	if err := sign(sg); err != nil {
		t.Error(err)
	}
	if list, err := both.List(t.Context()); err != nil || len(list) != 2 || list[0].ID != oldKey.ID || list[1].ID != fresh.ID {
		t.Errorf("List: %+v, %v", list, err)
	}
	if need, err := kms.NeedsRewrap(t.Context(), both, sealed.Wrapped); err != nil || !need {
		t.Errorf("NeedsRewrap: %v, %v", need, err)
	}
	if sealed, err = kms.RewrapKey(t.Context(), both, both, sealed, "keyAgreement"); err != nil {
		t.Fatal(err)
	}
	if _, err := kms.OpenHPKE(t.Context(), token, sealed, "keyAgreement"); err != nil {
		t.Errorf("OpenHPKE by the token alone: %v", err)
	}
}
