package pgwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// receiveAll decodes what a server has sent.
func receiveAll(t *testing.T, sent []byte) []pgproto3.BackendMessage {
	t.Helper()
	var all []pgproto3.BackendMessage
	frontend := pgproto3.NewFrontend(bytes.NewReader(sent), io.Discard)
	for {
		m, err := frontend.Receive()
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return all
		}
		// The next Receive would overwrite it.
		encoded, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		kept := reflect.New(reflect.TypeOf(m).Elem()).Interface().(pgproto3.BackendMessage)
		if err := kept.Decode(encoded[5:]); err != nil {
			t.Fatal(err)
		}
		all = append(all, kept)
	}
}

func TestReplyRows(t *testing.T) {
	large := bytes.Repeat([]byte("L"), largeFieldBytes)
	var sent bytes.Buffer
	r := NewReply(&sent, 3)
	want := [][][]byte{
		{[]byte("a"), nil, {}, []byte("made")},
		{large, []byte("between"), large, nil},
		{nil, nil, nil, []byte("small")},
	}
	for i := 0; !r.Full(); i++ {
		r.StartRow(4)
		switch i {
		case 0:
			r.Bytes([]byte("a"))
			r.Null()
			r.Bytes(nil)
			r.EndField(append(r.BeginField(), "made"...))
		case 1:
			r.Large(large)
			r.Bytes([]byte("between"))
			r.Large(large)
			r.Null()
		default:
			r.Null()
			r.Null()
			r.Null()
			r.Large([]byte("small"))
		}
		r.EndRow()
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	messages := receiveAll(t, sent.Bytes())
	if len(messages) != len(want) {
		t.Fatalf("%d messages", len(messages))
	}
	for i, m := range messages {
		got := m.(*pgproto3.DataRow).Values
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("row %d: %.100q", i, got)
		}
	}
}

// A row that is not finished leaves no trace; misuse panics instead of breaking the stream.
func TestReplyAbort(t *testing.T) {
	var sent bytes.Buffer
	r := NewReply(&sent, 0)
	r.Notice(&Error{Code: CodeSuccess, Message: "before"})
	for _, half := range []func(){
		func() { r.StartRow(2) },
		func() { r.StartRow(1); r.BeginField() },
		func() { r.StartRow(2); r.Large(make([]byte, largeFieldBytes)) },
		func() { r.StartRow(1); r.EndRow() },
		func() { r.StartRow(1); r.StartRow(1) },
		func() { r.StartRow(1); r.Notice(&Error{}) },
		func() { r.StartRow(1); r.EndField(nil) },
		func() { r.EndRow() },
	} {
		func() {
			defer func() { _ = recover() }()
			half()
		}()
		r.abortRow()
	}
	r.StartRow(0)
	r.EndRow()
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	messages := receiveAll(t, sent.Bytes())
	if len(messages) != 2 || len(messages[1].(*pgproto3.DataRow).Values) != 0 {
		t.Errorf("sent %v", messages)
	}
}

type failingWriter struct{ calls int }

func (w *failingWriter) Write([]byte) (int, error) {
	w.calls++
	return 0, io.ErrClosedPipe
}

func TestReplyDeadWriter(t *testing.T) {
	w := &failingWriter{}
	var reported []error
	r := NewReply(w, 0)
	r.onError = func(err error) { reported = append(reported, err) }
	for range 3 * r.flushBytes / 1000 {
		r.StartRow(1)
		r.Bytes(make([]byte, 1000))
		r.EndRow()
	}
	r.StartRow(1)
	r.Large(make([]byte, 1<<20))
	r.EndRow()
	if err := r.Flush(); err != io.ErrClosedPipe || w.calls != 1 || len(reported) != 1 {
		t.Errorf("%v, %d writes, %v", err, w.calls, reported)
	}
	if len(r.buf) > 0 || len(r.large) > 0 {
		t.Error("keeps what nobody will get")
	}
}

func TestErrorFields(t *testing.T) {
	e := &Error{Code: CodeUniqueViolation, Message: "m\x00\xff", Detail: "d", Hint: "h", Position: 7, Where: "w",
		Table: "t", Column: "c", Constraint: "n", Cause: errors.New("secret")}
	sent := appendError(nil, 'E', SeverityError, e)
	got := receiveAll(t, sent)[0].(*pgproto3.ErrorResponse)
	want := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "23505", Message: "m\ufffd\ufffd", Detail: "d",
		Hint: "h", Position: 7, Where: "w", TableName: "t", ColumnName: "c", ConstraintName: "n"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	// S, V, C and M are there even if the error is empty.
	sent = appendError(nil, 'E', SeverityFatal, &Error{})
	for _, field := range []string{"SFATAL\x00", "VFATAL\x00", "CXX000\x00", "M\x00"} {
		if !strings.Contains(string(sent), field) {
			t.Errorf("no %q in %q", field, sent)
		}
	}
}

func TestEncodeOthers(t *testing.T) {
	b := appendRowDescription(nil, []Column{{"a", 1, 2, 23, 4, -1}, {"b", 0, 0, 17, -1, 5}}, []Format{Binary, Text})
	b = appendParameterDescription(b, []uint32{25, 1 << 31})
	b = appendParameterStatus(b, "n", "v")
	b = appendBackendKeyData(b, 7, []byte("12345678"))
	b = appendCommandComplete(b, Completion{Tag: "INSERT 0", Rows: 12, HasRows: true})
	b = appendReadyForQuery(b, TxFailed)
	b = append(b, parseComplete+bindComplete+closeComplete+noData+emptyQueryResponse+portalSuspended+authenticationOk...)
	b = appendNegotiateProtocolVersion(b, version32, []string{"_pq_.x"})
	var got []string
	for _, m := range receiveAll(t, b) {
		got = append(got, fmt.Sprintf("%T", m)[len("*pgproto3."):])
	}
	want := "RowDescription ParameterDescription ParameterStatus BackendKeyData CommandComplete ReadyForQuery ParseComplete " +
		"BindComplete CloseComplete NoData EmptyQueryResponse PortalSuspended AuthenticationOk NegotiateProtocolVersion"
	if strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
}
