package types

import "testing"

func TestDateOrder(t *testing.T) {
	const wrong = ""
	for _, test := range []struct {
		text          string
		mdy, dmy, ymd string
	}{
		{"02-03-2026", "2026-02-03", "2026-03-02", wrong},
		{"2/3/2026", "2026-02-03", "2026-03-02", wrong},
		{"13.03.2026", wrong, "2026-03-13", wrong},
		{"03-13-2026", "2026-03-13", wrong, wrong},
		{"01-02-03", "2003-01-02", "2003-02-01", "2001-02-03"},
		{"99-02-3", wrong, wrong, "1999-02-03"},
		{"2026-02-03", "2026-02-03", "2026-02-03", "2026-02-03"},
		{"20260203", "2026-02-03", "2026-02-03", "2026-02-03"},
		{"02 Mar 2026", "2026-03-02", "2026-03-02", wrong},
	} {
		for order, want := range map[DateOrder]string{OrderMDY: test.mdy, OrderDMY: test.dmy, OrderYMD: test.ymd} {
			style := &Style{Dates: order}
			for _, oid := range []OID{Date, Timestamp} {
				got := ""
				if v, err := ParseText(oid, []byte(test.text), style); err == nil {
					got = string(AppendText(nil, oid, v, style))[:len("2026-02-03")]
				}
				if got != want {
					t.Errorf("order %d: %q is %s %q, want %q", order, test.text, oid, got, want)
				}
			}
		}
		if err := CheckText(Date, []byte(test.text)); err != nil {
			t.Errorf("CheckText(%q) = %v, though an order makes sense of it", test.text, err)
		}
	}
	if CheckText(Date, []byte("14-13-2026")) == nil {
		t.Error("CheckText accepts 14-13-2026")
	}
}
