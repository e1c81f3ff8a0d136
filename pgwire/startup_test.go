package pgwire

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func packetOf(version uint32, fields ...string) []byte {
	packet := binary.BigEndian.AppendUint32(nil, version)
	for _, field := range fields {
		packet = appendText(packet, field)
	}
	return append(packet, 0)
}

func TestParseStartup(t *testing.T) {
	for _, test := range []struct {
		name   string
		packet []byte
		want   startupMessage
		code   Code
	}{
		{"plain", packetOf(version30, "user", "u"), startupMessage{version: version30, user: "u", database: "u"}, ""},
		{"all", packetOf(version32, "user", "u", "database", "d", "application_name", "a", "options", "-c x=y", "replication", "off"),
			startupMessage{version: version32, user: "u", database: "d", settings: []Setting{{"x", "y"}, {"application_name", "a"}}}, ""},
		{"3.1", packetOf(version30+1, "user", "u"), startupMessage{version: version30, user: "u", database: "u"}, ""},
		{"3.9999", packetOf(version30+9999, "user", "u", "_pq_.a", "1", "_pq_.b", ""),
			startupMessage{version: version32, negotiate: true, unknownOptions: []string{"_pq_.a", "_pq_.b"}, user: "u", database: "u"}, ""},
		{"2.0", packetOf(2<<16, "user", "u"), startupMessage{}, CodeFeatureNotSupported},
		{"4.0", packetOf(4<<16, "user", "u"), startupMessage{}, CodeFeatureNotSupported},
		{"no user", packetOf(version30, "database", "u"), startupMessage{}, CodeInvalidAuthorization},
		{"no terminator", packetOf(version30, "user", "u")[:11], startupMessage{}, CodeProtocolViolation},
		{"no value", packetOf(version30, "user"), startupMessage{}, CodeProtocolViolation},
		{"nothing", packetOf(version30)[:4], startupMessage{}, CodeProtocolViolation},
		{"behind", append(packetOf(version30, "user", "u"), 0), startupMessage{}, CodeProtocolViolation},
		{"not UTF-8", packetOf(version30, "user", "\xff"), startupMessage{}, CodeCharacterNotInRepertoire},
		{"replication", packetOf(version30, "user", "u", "replication", "database"), startupMessage{}, CodeFeatureNotSupported},
	} {
		m, err := parseStartup(test.packet)
		var e *Error
		switch {
		case test.code == "" && (err != nil || !reflect.DeepEqual(*m, test.want)):
			t.Errorf("%s: %+v, %v", test.name, m, err)
		case test.code != "" && (!errors.As(err, &e) || e.Code != test.code || e.Severity != SeverityFatal):
			t.Errorf("%s: %v, want FATAL %s", test.name, err, test.code)
		}
	}
}

func TestParseOptions(t *testing.T) {
	for _, test := range []struct {
		options string
		want    []Setting
		message string
	}{
		{"", nil, ""},
		{"  -c a=b  --c-d=e\t-cf=g=h ", []Setting{{"a", "b"}, {"c_d", "e"}, {"f", "g=h"}}, ""},
		{`-c a=b\ c\\d --e=\`, []Setting{{"a", `b c\d`}, {"e", ""}}, ""},
		{"-c a", nil, "-c a requires a value"},
		{"--a", nil, "--a requires a value"},
		{"-c", nil, "invalid command-line argument for server process: -c"},
		{"-d 5", nil, "invalid command-line argument for server process: -d"},
		{"stray", nil, "invalid command-line argument for server process: stray"},
	} {
		settings, err := parseOptions(test.options)
		if test.message == "" && (err != nil || !reflect.DeepEqual(settings, test.want)) {
			t.Errorf("%q: %v, %v", test.options, settings, err)
		}
		if test.message != "" && (err == nil || !strings.HasPrefix(err.Error(), test.message)) {
			t.Errorf("%q: %v, want %s", test.options, err, test.message)
		}
	}
}

func FuzzStartup(f *testing.F) {
	f.Add(packetOf(version30, "user", "u", "options", `-c a=b\ c`))
	f.Add(packetOf(version30+9999, "user", "u", "_pq_.x", "y"))
	f.Add(packetOf(version30)[:4])
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) < 4 || len(packet) > LoginMessageBytesMax {
			return // the frame reader lets no such packet through
		}
		m, err := parseStartup(packet)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Severity != SeverityFatal {
				t.Fatalf("error %v", err)
			}
			return
		}
		if m.user == "" || m.database == "" || m.version != version30 && m.version != version32 {
			t.Fatalf("accepted %+v", m)
		}
		bytes := 0
		for _, s := range m.settings {
			bytes += len(s.Name) + len(s.Value)
		}
		if bytes > len(packet) {
			t.Fatalf("%d bytes of settings from a packet of %d", bytes, len(packet))
		}
	})
}
