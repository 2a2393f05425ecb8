package rdfc

import (
	"encoding/hex"
	"slices"
)

// nDegree is Hash N-Degree Quads (section 4.8.3): it tells apart blank nodes whose own quads look alike by
// walking to those around them, trying every order among the equal ones and keeping the least path.
// Each call, related node and member of an order costs work, as does each blank node that has a
// temporary label already, since labels are copied.
func (c *canonicalizer) nDegree(n int, issued *issuer) (string, *issuer, error) {
	if err := c.ctx.Err(); err != nil {
		return "", nil, err
	}
	related := map[string][]int{}
	for _, k := range c.nodes[n].quads {
		q := &c.quads[k]
		for _, r := range [...]struct {
			node     int
			position byte
		}{{q.s, 's'}, {q.o, 'o'}, {q.g, 'g'}} {
			if r.node < 0 || r.node == n {
				continue
			}
			if err := c.spend(1); err != nil {
				return "", nil, err
			}
			h := c.relatedHash(r.node, q, issued, r.position)
			related[h] = append(related[h], r.node)
		}
	}
	var data []byte
	for _, h := range sortedKeys(related) {
		data = append(data, h...)
		path, chosen, err := c.leastPath(related[h], issued)
		if err != nil {
			return "", nil, err
		}
		data = append(data, path...)
		issued = chosen
	}
	c.hash.Reset()
	c.hash.Write(data)
	return hex.EncodeToString(c.hash.Sum(nil)), issued, nil
}

// relatedHash is Hash Related Blank Node (section 4.7.3).
func (c *canonicalizer) relatedHash(related int, q *quad, issued *issuer, position byte) string {
	b := append(c.buffer[:0], position)
	if position != 'g' {
		b = append(b, '<')
		b = append(b, q.Predicate.Value...)
		b = append(b, '>')
	}
	switch {
	case c.canonical.has(related):
		b = c.canonical.append(b, "_:c14n", related)
	case issued.has(related):
		b = issued.append(b, "_:b", related)
	default:
		b = append(b, c.nodes[related].first...)
	}
	c.buffer = b
	c.hash.Reset()
	c.hash.Write(b)
	return hex.EncodeToString(c.hash.Sum(nil))
}

// leastPath is step 5.4 of section 4.8.3: the least path over all orders of the nodes, and the labels
// issued along it.
func (c *canonicalizer) leastPath(nodes []int, issued *issuer) ([]byte, *issuer, error) {
	var least []byte
	var chosen *issuer
	order := slices.Sorted(slices.Values(nodes))
	for more := true; more; more = nextPermutation(order) {
		if err := c.spend(1 + len(order) + len(issued.order)/8); err != nil {
			return nil, nil, err
		}
		path, labels, err := c.path(order, issued, least)
		if err != nil {
			return nil, nil, err
		}
		if labels != nil && (chosen == nil || string(path) < string(least)) {
			least, chosen = path, labels
		}
	}
	return least, chosen, nil
}

// path follows one order. It gives up, with no labels, once the path cannot become the least.
func (c *canonicalizer) path(order []int, issued *issuer, least []byte) ([]byte, *issuer, error) {
	labels := issued.clone()
	var path []byte
	var deeper []int
	worse := func() bool {
		return len(least) > 0 && len(path) >= len(least) && string(path) > string(least)
	}
	for _, r := range order {
		if c.canonical.has(r) {
			path = c.canonical.append(path, "_:c14n", r)
		} else {
			if !labels.has(r) {
				deeper = append(deeper, r)
				labels.issue(r)
			}
			path = labels.append(path, "_:b", r)
		}
		if worse() {
			return nil, nil, nil
		}
	}
	for _, r := range deeper {
		hash, next, err := c.nDegree(r, labels)
		if err != nil {
			return nil, nil, err
		}
		labels.issue(r)
		path = labels.append(path, "_:b", r)
		path = append(path, '<')
		path = append(path, hash...)
		path = append(path, '>')
		labels = next
		if worse() {
			return nil, nil, nil
		}
	}
	return path, labels, nil
}

// nextPermutation steps to the next order in lexicographic order; equal members count as equal.
func nextPermutation(p []int) bool {
	i := len(p) - 2
	for i >= 0 && p[i] >= p[i+1] {
		i--
	}
	if i < 0 {
		return false
	}
	j := len(p) - 1
	for p[j] <= p[i] {
		j--
	}
	p[i], p[j] = p[j], p[i]
	slices.Reverse(p[i+1:])
	return true
}
