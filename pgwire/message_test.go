package pgwire

import (
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// decodeBody decodes a message body by its type and gives back what pgproto3 would encode from it.
func decodeBody(kind byte, body []byte) (pgproto3.FrontendMessage, error) {
	switch kind {
	case 'Q':
		sql, err := decodeQuery(body)
		return &pgproto3.Query{String: string(sql)}, err
	case 'P':
		m, err := decodeParse(body)
		return &pgproto3.Parse{Name: string(m.name), Query: string(m.sql), ParameterOIDs: m.paramOIDs}, err
	case 'B':
		portal, statement, rest, err := decodeBindNames(body)
		if err != nil {
			return nil, err
		}
		var args BindArgs
		err = decodeBindArgs(rest, &args)
		m := &pgproto3.Bind{DestinationPortal: string(portal), PreparedStatement: string(statement), Parameters: args.Params}
		for _, f := range args.ParamFormats {
			m.ParameterFormatCodes = append(m.ParameterFormatCodes, int16(f))
		}
		for _, f := range args.ResultFormats {
			m.ResultFormatCodes = append(m.ResultFormatCodes, int16(f))
		}
		return m, err
	case 'D':
		target, name, err := decodeTarget(body)
		return &pgproto3.Describe{ObjectType: target, Name: string(name)}, err
	case 'C':
		target, name, err := decodeTarget(body)
		return &pgproto3.Close{ObjectType: target, Name: string(name)}, err
	case 'E':
		portal, rowsMax, err := decodeExecute(body)
		return &pgproto3.Execute{Portal: string(portal), MaxRows: uint32(rowsMax)}, err
	case 'H':
		return &pgproto3.Flush{}, decodeEmpty(body)
	default:
		return &pgproto3.Sync{}, decodeEmpty(body)
	}
}

func frontendMessages() []pgproto3.FrontendMessage {
	return []pgproto3.FrontendMessage{
		&pgproto3.Query{String: "SELECT 'ä'"},
		&pgproto3.Query{},
		&pgproto3.Parse{Name: "s", Query: "SELECT $1, $2", ParameterOIDs: []uint32{25, 1 << 31}},
		&pgproto3.Parse{},
		&pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s", ParameterFormatCodes: []int16{0, 1},
			Parameters: [][]byte{[]byte("a"), nil, {}}, ResultFormatCodes: []int16{1, 1, 0}},
		&pgproto3.Bind{},
		&pgproto3.Describe{ObjectType: 'S', Name: "s"},
		&pgproto3.Close{ObjectType: 'P'},
		&pgproto3.Execute{Portal: "p", MaxRows: 3},
		&pgproto3.Flush{},
		&pgproto3.Sync{},
	}
}

// Each message that pgproto3 encodes is decoded to the same; every strict prefix, and every
// message with something behind, is refused as a protocol violation.
func TestDecodeRoundTrip(t *testing.T) {
	for _, message := range frontendMessages() {
		encoded, err := message.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		kind, body := encoded[0], encoded[5:]
		decoded, err := decodeBody(kind, body)
		if err != nil {
			t.Fatalf("%T: %v", message, err)
		}
		again, err := decoded.Encode(nil)
		if err != nil || !reflect.DeepEqual(again, encoded) {
			t.Errorf("%T: decoded to %+v", message, decoded)
		}
		bad := [][]byte{append(append([]byte(nil), body...), 0)}
		for n := range body {
			bad = append(bad, body[:n])
		}
		for _, body := range bad {
			_, err := decodeBody(kind, body)
			e, ok := err.(*Error)
			if !ok || e.Code != CodeProtocolViolation && e.Code != CodeCharacterNotInRepertoire {
				t.Errorf("%T: %d of %d bytes: error %v", message, len(body), len(encoded)-5, err)
			}
		}
	}
}

// A count that the message cannot hold must not be believed.
func TestDecodeCounts(t *testing.T) {
	allocations := testing.AllocsPerRun(100, func() {
		_, _ = decodeParse([]byte("\x00\x00\xff\xff"))
		var args BindArgs
		_ = decodeBindArgs([]byte{0xff, 0xff, 0, 0, 0, 0}, &args)
		_ = decodeBindArgs([]byte{0, 0, 0xff, 0xff, 0, 0}, &args)
		if cap(args.Params) > 0 || cap(args.ParamFormats) > 0 {
			t.Error("allocated for a count alone")
		}
	})
	if allocations > 10 { // the errors
		t.Errorf("%v allocations", allocations)
	}
}

func TestCheckText(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""}, {"plain", ""}, {"ä€😀", ""},
		{"a\xffb", "0xff"}, {"\xe2\x82", "0xe2 0x82"}, {"ok\xc3(", "0xc3 0x28"},
		{"\xed\xa0\x80", "0xed 0xa0 0x80"}, {"\xf0\x9f", "0xf0 0x9f"}, {"a\x00b", "0x00"}, {"\ufffd\xfe", "0xfe"},
	} {
		err := checkParameterText([]byte(test.text))
		want := `invalid byte sequence for encoding "UTF8": ` + test.want
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%q: %v", test.text, err)
		case test.want != "" && (err == nil || err.Message != want || err.Code != CodeCharacterNotInRepertoire):
			t.Errorf("%q: %v, want %s", test.text, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, message := range frontendMessages() {
		encoded, err := message.Encode(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded[0], encoded[5:])
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		decoded, err := decodeBody(kind, body)
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("error %T", err)
			}
			return
		}
		again, err := decoded.Encode(nil)
		if err != nil || string(again[5:]) != string(body) {
			t.Fatalf("%q decoded to %+v, which encodes to %q", body, decoded, again[5:])
		}
	})
}
