package exchange

import (
	"slices"
	"strconv"
)

// unchanged refuses to change what is not any more in one of the versions that the caller read; without versions it is changed in any.
func unchanged(what string, now uint64, versions []uint64) error {
	if len(versions) == 0 || slices.Contains(versions, now) {
		return nil
	}
	return fail(CodePrecondition, "%s was changed since it was read; nothing was done", what)
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

// ETag is the entity tag of a peer (RFC 9110 section 8.8.3). What is counted of its day and its epochs does not change it.
func (p Peer) ETag() string { return etag(p.Version) }

// ETag is the entity tag of an agreement.
func (a Agreement) ETag() string { return etag(a.Version) }

// ETag is the entity tag of an exchange. The time that goes by does not change it.
func (e Exchange) ETag() string { return etag(e.Version) }
