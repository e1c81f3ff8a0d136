package pgwire

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Codes that take the place of a version in a startup packet.
const (
	codeCancelRequest = 80877102
	codeSSLRequest    = 80877103
	codeGSSENCRequest = 80877104
)

// Protocol versions.
const (
	versionMajor    = 3
	versionMinorMax = 2
	version30       = versionMajor << 16
	version32       = versionMajor<<16 | 2
)

// startupMessage is a StartupMessage that makes sense.
type startupMessage struct {
	version        uint32   // that is spoken: version30 or version32
	negotiate      bool     // the client must be told
	unknownOptions []string // its _pq_ options that we do not know
	user, database string
	settings       []Setting
	// optionsErr is what is wrong with "options". As in PostgreSQL it is for after AuthenticationOk.
	optionsErr error
}

// keyBytes is the length of the cancel key the client can take.
func (m *startupMessage) keyBytes() int {
	if m.version >= version32 {
		return cancelKeyBytesLong
	}
	return cancelKeyBytesShort
}

// parseStartup reads a startup packet, version included. Errors are FATAL.
func parseStartup(packet []byte) (*startupMessage, error) {
	version := binary.BigEndian.Uint32(packet)
	major, minor := version>>16, version&0xffff
	if major != versionMajor {
		return nil, fatalf(CodeFeatureNotSupported, "unsupported frontend protocol %d.%d: server supports %d.0 to %d.%d",
			major, minor, versionMajor, versionMajor, versionMinorMax)
	}
	m := &startupMessage{version: version30, negotiate: minor > versionMinorMax}
	if minor >= 2 { // 3.1 was never used
		m.version = version32
	}
	d := decoder{rest: packet[4:]}
	var options, replication string
	for {
		name := string(d.text())
		if name == "" {
			break
		}
		value := string(d.text())
		switch {
		case strings.HasPrefix(name, "_pq_."):
			m.unknownOptions = append(m.unknownOptions, name)
			m.negotiate = true
		case name == "user":
			m.user = value
		case name == "database":
			m.database = value
		case name == "options":
			options = value
		case name == "replication":
			replication = value
		default:
			m.settings = append(m.settings, Setting{name, value})
		}
	}
	return m, m.check(d, options, replication)
}

// check completes a startup message whose packet has been read up to its terminator.
func (m *startupMessage) check(d decoder, options, replication string) error {
	if d.err != nil && d.err.Code == CodeCharacterNotInRepertoire {
		d.err.Severity = SeverityFatal
		return d.err
	}
	if d.err != nil || len(d.rest) > 0 {
		return fatalf(CodeProtocolViolation, "invalid startup packet layout: expected terminator as last byte")
	}
	switch strings.ToLower(replication) {
	case "", "false", "off", "no", "0":
	default:
		return fatalf(CodeFeatureNotSupported, "replication connections are not supported")
	}
	if m.user == "" {
		return fatalf(CodeInvalidAuthorization, "no PostgreSQL user name specified in startup packet")
	}
	if m.database == "" {
		m.database = m.user
	}
	fromOptions, err := parseOptions(options)
	m.settings = slices.Concat(fromOptions, m.settings) // named ones win, as in PostgreSQL
	m.optionsErr = err
	return nil
}

// parseOptions reads the settings in the startup parameter "options": command line switches
// of the forms -c name=value, -cname=value and --name=value.
func parseOptions(options string) ([]Setting, error) {
	var settings []Setting
	words := splitOptions(options)
	for i := 0; i < len(words); i++ {
		word := words[i]
		var assignment, form string
		switch {
		case word == "-c" && i+1 < len(words):
			i++
			assignment, form = words[i], "-c "
		case strings.HasPrefix(word, "--"):
			assignment, form = word[2:], "--"
		case strings.HasPrefix(word, "-c") && len(word) > 2:
			assignment, form = word[2:], "-c "
		default:
			return nil, fatalf(CodeSyntaxError, "invalid command-line argument for server process: %s", word)
		}
		name, value, found := strings.Cut(assignment, "=")
		if !found {
			return nil, fatalf(CodeSyntaxError, "%s%s requires a value", form, name)
		}
		settings = append(settings, Setting{strings.ReplaceAll(name, "-", "_"), value})
	}
	return settings, nil
}

// splitOptions splits at white space; a backslash makes the next character part of a word.
func splitOptions(s string) []string {
	var words []string
	var word []byte
	inWord := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			word, inWord = append(word, s[i]), true
		case c == ' ' || c >= '\t' && c <= '\r':
			if inWord {
				words, word, inWord = append(words, string(word)), word[:0], false
			}
		case c == '\\': // at the end it means nothing
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		words = append(words, string(word))
	}
	return words
}
