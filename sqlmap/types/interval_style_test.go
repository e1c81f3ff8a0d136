package types

import "testing"

// TestIntervalStyles: what PostgreSQL 15 shows with each IntervalStyle.
func TestIntervalStyles(t *testing.T) {
	for _, test := range []struct{ input, verbose, sql, iso string }{
		{"0", "@ 0", "0", "PT0S"},
		{"1 day", "@ 1 day", "1 0:00:00", "P1D"},
		{"-1 day", "@ 1 day ago", "-1 0:00:00", "P-1D"},
		{"1 year 2 mons 3 days 04:05:06.789", "@ 1 year 2 mons 3 days 4 hours 5 mins 6.789 secs", "+1-2 +3 +4:05:06.789", "P1Y2M3DT4H5M6.789S"},
		{"-1 year -2 mons +3 days -04:05:06", "@ 1 year 2 mons -3 days 4 hours 5 mins 6 secs ago", "-1-2 +3 -4:05:06", "P-1Y-2M3DT-4H-5M-6S"},
		{"1 mon", "@ 1 mon", "0-1", "P1M"},
		{"-13 mons", "@ 1 year 1 mon ago", "-1-1", "P-1Y-1M"},
		{"00:00:00.5", "@ 0.5 secs", "0:00:00.5", "PT0.5S"},
		{"-00:00:01", "@ 1 sec ago", "-0:00:01", "PT-1S"},
		{"-00:00:00.25", "@ 0.25 secs ago", "-0:00:00.25", "PT-0.25S"},
		{"3 days 04:05:06", "@ 3 days 4 hours 5 mins 6 secs", "3 4:05:06", "P3DT4H5M6S"},
		{"-1 day +02:00:00", "@ 1 day -2 hours ago", "+0-0 -1 +2:00:00", "P-1DT2H"},
		{"25:00:00", "@ 25 hours", "25:00:00", "PT25H"},
		{"1 year 1 day", "@ 1 year 1 day", "+1-0 +1 +0:00:00", "P1Y1D"},
		{"-1 year 1 sec", "@ 1 year -1 sec ago", "-1-0 +0 +0:00:01", "P-1YT1S"},
	} {
		v, err := ParseText(Interval, []byte(test.input), nil)
		if err != nil {
			t.Fatal(err)
		}
		for style, want := range map[IntervalStyle]string{IntervalPostgresVerbose: test.verbose, IntervalSQLStandard: test.sql, IntervalISO8601: test.iso} {
			got := string(AppendText(nil, Interval, v, &Style{Interval: style}))
			if got != want {
				t.Errorf("%s, style %d: %s, want %s", test.input, style, got, want)
			}
		}
	}
}
