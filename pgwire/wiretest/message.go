package wiretest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"
)

// frontendMessage makes an empty message of the named type.
func frontendMessage(name string) pgproto3.FrontendMessage {
	switch name {
	case "Query":
		return &pgproto3.Query{}
	case "Parse":
		return &pgproto3.Parse{}
	case "Bind":
		return &pgproto3.Bind{}
	case "Describe":
		return &pgproto3.Describe{}
	case "Execute":
		return &pgproto3.Execute{}
	case "Close":
		return &pgproto3.Close{}
	case "Sync":
		return &pgproto3.Sync{}
	case "Flush":
		return &pgproto3.Flush{}
	case "FunctionCall":
		return &pgproto3.FunctionCall{}
	case "CopyData":
		return &pgproto3.CopyData{}
	case "CopyDone":
		return &pgproto3.CopyDone{}
	case "CopyFail":
		return &pgproto3.CopyFail{}
	case "Terminate":
		return &pgproto3.Terminate{}
	}
	return nil
}

// send writes messages, each a line of type and JSON, at once.
func (c *client) send(lines []string) error {
	var out []byte
	for _, line := range lines {
		name, content, hasContent := strings.Cut(line, " ")
		message := frontendMessage(name)
		if strings.HasPrefix(name, "SASL") {
			var err error
			if message, err = c.saslMessage(name, content); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
			hasContent = false
		}
		if message == nil {
			return fmt.Errorf("no message %q", name)
		}
		if data, ok := message.(*pgproto3.CopyData); ok && strings.HasPrefix(content, `"`) {
			// pgproto3 would want it in hexadecimal digits.
			text, err := strconv.Unquote(content)
			if err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
			data.Data = []byte(text)
		} else if hasContent {
			if err := json.Unmarshal([]byte(content), message); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
		var err error
		if out, err = message.Encode(out); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	_, err := c.conn.Write(out)
	return err
}

func typeName(message pgproto3.BackendMessage) string {
	return reflect.TypeOf(message).Elem().Name()
}

// field is one name and value of a message as it is shown.
type field struct {
	name  string
	value any
}

// show writes a message as a line of JSON with the fields worth comparing.
func show(message pgproto3.BackendMessage, withMessages bool) string {
	var fields []field
	add := func(name string, value any) { fields = append(fields, field{name, value}) }
	problem := func(e *pgproto3.ErrorResponse) {
		add("Severity", e.Severity)
		add("Code", e.Code)
		if withMessages {
			add("Message", e.Message)
			if e.Position != 0 {
				add("Position", e.Position)
			}
		}
	}
	switch m := message.(type) {
	case *pgproto3.ErrorResponse:
		problem(m)
	case *pgproto3.NoticeResponse:
		problem((*pgproto3.ErrorResponse)(m))
	case *pgproto3.AuthenticationSASL:
		add("AuthMechanisms", m.AuthMechanisms)
	case *pgproto3.AuthenticationSASLContinue:
		add("Data", string(m.Data))
	case *pgproto3.AuthenticationSASLFinal:
		add("Data", string(m.Data))
	case *pgproto3.ReadyForQuery:
		add("TxStatus", string(rune(m.TxStatus)))
	case *pgproto3.CommandComplete:
		add("CommandTag", string(m.CommandTag))
	case *pgproto3.DataRow:
		add("Values", rowValues(m.Values))
	case *pgproto3.RowDescription:
		var columns []string
		for _, f := range m.Fields {
			columns = append(columns, fmt.Sprintf("%s oid=%d size=%d format=%d", f.Name, f.DataTypeOID, f.DataTypeSize, f.Format))
		}
		add("Fields", columns)
	case *pgproto3.CopyInResponse:
		add("Formats", append([]uint16{uint16(m.OverallFormat)}, m.ColumnFormatCodes...))
	case *pgproto3.CopyOutResponse:
		add("Formats", append([]uint16{uint16(m.OverallFormat)}, m.ColumnFormatCodes...))
	case *pgproto3.CopyData:
		add("Data", rowValues([][]byte{m.Data})[0])
	case *pgproto3.ParameterDescription:
		add("ParameterOIDs", m.ParameterOIDs)
	case *pgproto3.ParameterStatus:
		add("Name", m.Name)
		add("Value", m.Value)
	case *pgproto3.NotificationResponse:
		add("Channel", m.Channel)
		add("Payload", m.Payload)
	case *pgproto3.BackendKeyData:
		add("KeyBytes", len(m.SecretKey))
	case *pgproto3.NegotiateProtocolVersion:
		add("NewestVersion", fmt.Sprintf("%d.%d", m.NewestMinorProtocol>>16, m.NewestMinorProtocol&0xffff))
		add("UnrecognizedOptions", m.UnrecognizedOptions)
	}
	out := `{"Type":` + strconv.Quote(typeName(message))
	for _, f := range fields {
		var value strings.Builder
		encoder := json.NewEncoder(&value)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(f.value); err != nil {
			value.WriteString(strconv.Quote(err.Error()))
		}
		out += `,"` + f.name + `":` + strings.TrimSuffix(value.String(), "\n")
	}
	return out + "}"
}

// rowValues shows printable fields as text, others as hex, and NULL as null.
func rowValues(values [][]byte) []any {
	shown := make([]any, len(values))
	for i, value := range values {
		switch {
		case value == nil:
		case utf8.Valid(value) && strings.IndexFunc(string(value), unicode.IsControl) < 0:
			shown[i] = string(value)
		default:
			shown[i] = fmt.Sprintf("hex:%x", value)
		}
	}
	return shown
}
