package pkcs11

// TokenSpec describes a token to be set up by [InitToken].
type TokenSpec struct {
	Library string // path of the PKCS #11 library
	Label   string // 1 to 32 bytes
	SOPIN   PIN    // of the security officer, who can reset the user's PIN
	UserPIN PIN    // of the node
}
