package encode

// Skeletons are what is left of the sounds of a name (package normalise: arabic/1, cyrillic/1) when vowels are dropped and
// the consonants that spellings mix up are taken for one.

// skeleton says how one family of skeletons is made.
type skeleton struct {
	class     [26]byte // what each consonant is taken for
	ending    bool     // add the vowel at the end
	squeeze   bool     // take runs of one class for one
	maxLength int
}

func makeSkeleton(merges string, ending, squeeze bool, maxLength int) *skeleton {
	s := &skeleton{ending: ending, squeeze: squeeze, maxLength: maxLength}
	for i := range s.class {
		s.class[i] = 'A' + byte(i)
	}
	for i := 0; i+1 < len(merges); i += 2 {
		s.class[merges[i]-'A'] = merges[i+1]
	}
	return s
}

// maxSkeleton bounds a skeleton: longer names differ before.
const maxSkeleton = 16

var (
	// arabicSkeleton takes th, dh, z and d for one (Ramadan, Ramadhan; Kazem, Kadhim; Muadh, Muath), g, gh and j (Gamal, Jamal; Ghazali,
	// Gazali), kh and k (Khalifa, Kalifa). The vowel at the end stays: it tells Amin from Amina and Hasan from Hasani.
	arabicSkeleton = makeSkeleton("CDVDZDGJQK", true, false, maxSkeleton)
	// slavicSkeleton takes the voiced for the voiceless, and all sibilants for one, as Daitch and Mokotoff do, but keeps
	// apart b and v, m and n. Endings go: Ivanov, Ivanova.
	slavicSkeleton = makeSkeleton("PBFVDTGKHKZSXSJS", false, true, 6)
)

func (s *skeleton) append(dst []byte, sounds string) []byte {
	start := len(dst)
	last := byte(0)
	abd := false
	for i := 0; i < len(sounds); i++ {
		c := sounds[i]
		switch {
		case c == ' ':
			continue
		case c == 'O' && i == 0:
			abd = true
			continue
		case 'A' <= c && c <= 'Z':
			// A is a vowel at the start of a word: it counts at the start of the name.
			if c == 'A' && (abd || len(dst) > start) {
				break
			}
			c = s.class[c-'A']
			if len(dst)-start < s.maxLength && !(s.squeeze && c == last) {
				dst = append(dst, c)
			}
		}
		last = c
	}
	// Abd al- goes to the end, out of the way of heads.
	if abd {
		dst = append(dst, 'O')
	}
	if s.ending && 'a' <= last && last <= 'z' {
		dst = append(dst, last)
	}
	return dst
}

// bare is the skeleton without the vowel at the end.
func (s *skeleton) bare(dst []byte, sounds string) []byte {
	start := len(dst)
	dst = s.append(dst, sounds)
	if n := len(dst); n > start && dst[n-1] >= 'a' {
		dst = dst[:n-1]
	}
	return dst
}

// head gives the first n consonants of the skeleton: what most slips of the pen further on leave alone.
func (s *skeleton) head(n int) Func {
	return func(dst []byte, sounds string) []byte {
		start := len(dst)
		dst = s.bare(dst, sounds)
		return dst[:min(len(dst), start+n)]
	}
}
