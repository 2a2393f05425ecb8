package credentials

import (
	"encoding/base64"
	"fmt"
	"strings"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/rdfc"
)

// checkProperties checks the optional properties of a credential that VCDM 2.0 gives rules for.
func checkProperties(d map[string]any, version string) error {
	if version == Version1 {
		return checkProperties1(d)
	}
	if err := checkText(d, ""); err != nil {
		return err
	}
	if issuer, ok := d["issuer"].(map[string]any); ok {
		if err := checkText(issuer, "issuer."); err != nil {
			return err
		}
	}
	// Section 4.5 lists the objects whose type is required.
	for _, field := range []string{"credentialStatus", "credentialSchema", "termsOfUse", "evidence", "refreshService"} {
		if err := checkTyped(d, field); err != nil {
			return err
		}
	}
	for i, e := range each(d["credentialSchema"]) { // section 4.11
		m := e.(map[string]any)
		at := fmt.Sprintf("credentialSchema[%d]", i)
		if _, ok := m["id"]; !ok {
			return wrong(at+".id", "is missing")
		}
		if err := checkIntegrity(m, at); err != nil {
			return err
		}
	}
	return checkResources(d)
}

// checkProperties1 checks those of version 1.1, which asks for more ids (its sections 4.9, 5.4 and 5.5) and knows no name, description or
// relatedResource.
func checkProperties1(d map[string]any) error {
	for field, needsID := range map[string]bool{"credentialStatus": true, "credentialSchema": true, "refreshService": true, "termsOfUse": false, "evidence": false} {
		if err := checkTyped(d, field); err != nil {
			return err
		}
		for i, e := range each(d[field]) {
			at := fmt.Sprintf("%s[%d]", field, i)
			m := e.(map[string]any)
			if _, ok := m["id"]; !ok && needsID {
				return wrong(at+".id", "is missing")
			}
			if err := checkIntegrity(m, at); field == "credentialSchema" && err != nil {
				return err
			}
		}
	}
	return nil
}

// checkTyped checks a property whose values are objects with a type and perhaps an id.
func checkTyped(d map[string]any, field string) error {
	v, ok := d[field]
	if !ok {
		return nil
	}
	list := each(v)
	if len(list) == 0 {
		return wrong(field, "is empty")
	}
	for i, e := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		m, ok := e.(map[string]any)
		if !ok {
			return wrong(at, "is not an object")
		}
		if checkType(m, "") != nil {
			return wrong(at+".type", "is missing or not one or more strings")
		}
		if checkID(m, "id") != nil {
			return wrong(at+".id", "is not a URL")
		}
	}
	return nil
}

// checkText checks name and description (sections 4.6 and 11.1): a string, or objects with @value and perhaps
// @language and @direction.
func checkText(d map[string]any, prefix string) error {
	for _, field := range []string{"name", "description"} {
		v, ok := d[field]
		if !ok {
			continue
		}
		if _, ok := v.(string); ok {
			continue
		}
		list := each(v)
		if len(list) == 0 {
			return wrong(prefix+field, "is empty")
		}
		for i, e := range list {
			if err := checkLanguageValue(e); err != nil {
				return wrong(fmt.Sprintf("%s%s[%d]", prefix, field, i), "%v", err)
			}
		}
	}
	return nil
}

func checkLanguageValue(v any) error {
	if _, ok := v.(string); ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("is neither a string nor an object with @value")
	}
	for key, e := range m {
		s, isString := e.(string)
		ok := isString
		switch key {
		case "@value":
		case "@language":
			ok = isString && rdfc.CheckLanguage(s) == nil
		case "@direction":
			ok = s == "ltr" || s == "rtl"
		default:
			return fmt.Errorf("has members beside @value, @language and @direction")
		}
		if !ok {
			return fmt.Errorf("%s is not of the right form", key)
		}
	}
	if _, ok := m["@value"]; !ok {
		return fmt.Errorf("has no @value")
	}
	return nil
}

// checkResources checks relatedResource (section 5.3): one object a resource, each with a digest.
func checkResources(d map[string]any) error {
	v, ok := d["relatedResource"]
	if !ok {
		return nil
	}
	list := each(v)
	if len(list) == 0 {
		return wrong("relatedResource", "is empty")
	}
	seen := map[string]bool{}
	for i, e := range list {
		at := fmt.Sprintf("relatedResource[%d]", i)
		m, ok := e.(map[string]any)
		if !ok {
			return wrong(at, "is not an object")
		}
		id, ok := m["id"].(string)
		if !ok || !isURL(id) {
			return wrong(at+".id", "is not a URL")
		}
		if seen[id] {
			return wrong(at+".id", "another member has it")
		}
		seen[id] = true
		if mt, ok := m["mediaType"]; ok {
			if s, ok := mt.(string); !ok || !strings.Contains(s, "/") {
				return wrong(at+".mediaType", "is not a media type")
			}
		}
		_, hasSRI := m["digestSRI"]
		_, hasMultibase := m["digestMultibase"]
		if !hasSRI && !hasMultibase {
			return wrong(at, "has neither digestSRI nor digestMultibase")
		}
		if err := checkIntegrity(m, at); err != nil {
			return err
		}
	}
	return nil
}

// checkIntegrity checks the digests that an object gives of the resource with its id.
func checkIntegrity(m map[string]any, at string) error {
	if sri, ok := m["digestSRI"]; ok && !isSRI(sri) {
		return wrong(at+".digestSRI", "is not a Subresource Integrity digest")
	}
	if multibase, ok := m["digestMultibase"]; ok && !isMultibaseDigest(multibase) {
		return wrong(at+".digestMultibase", "is not a multibase multihash")
	}
	if err := checkDigest(m); err != nil {
		return wrong(at, "%v", err)
	}
	return nil
}

// isSRI reports whether v has the form of Subresource Integrity metadata: an algorithm, "-" and the digest
// in base64.
func isSRI(v any) bool {
	s, ok := v.(string)
	if !ok {
		return false
	}
	algorithm, digest, _ := strings.Cut(s, "-")
	size := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}[algorithm]
	b, err := base64.StdEncoding.DecodeString(digest)
	return size > 0 && err == nil && len(b) == size
}

// isMultibaseDigest reports whether v is a multihash of SHA-2 in multibase (base58btc or base64url).
func isMultibaseDigest(v any) bool {
	s, ok := v.(string)
	if !ok {
		return false
	}
	b, err := dataintegrity.DecodeMultibase(s)
	if err != nil || len(b) < 2 {
		return false
	}
	size := map[byte]int{0x12: 32, 0x20: 48, 0x13: 64}[b[0]] // multicodec sha2-256, sha2-384, sha2-512
	return size > 0 && int(b[1]) == size && len(b) == 2+size
}
