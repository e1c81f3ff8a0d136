package l2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// Codes of findings: PostgreSQL's for the same.
const (
	DataCorrupted  = "XX001" // a record is not what was written: it is a miss
	IndexCorrupted = "XX002" // rows of a record are missing or wrong: scans may miss it
	Leftover       = "01000" // harmless: what a crash or damage left, and the server removes
)

// Finding is something that Check found.
type Finding struct {
	Code      string
	Namespace string // empty if it is not about one
	Key       string
	Text      string
}

func (f Finding) String() string {
	if f.Namespace == "" {
		return fmt.Sprintf("%s %s", f.Code, f.Text)
	}
	return fmt.Sprintf("%s namespace %q key %q: %s", f.Code, f.Namespace, f.Key, f.Text)
}

// CheckSummary counts what Check looked at.
type CheckSummary struct {
	Namespaces, Records, Files int64
	Bytes                      int64 // that the records count against the budget
	Damaged                    int64 // findings but for leftovers
	Leftovers                  int64
}

// checker is a check under way.
type checker struct {
	ctx      context.Context
	db       *pebble.DB
	rows     *pebble.Iterator
	files    *payloadFiles
	expand   *compressor
	report   func(Finding)
	names    map[cache.NamespaceID]string
	summary  CheckSummary
	buffer   []byte
	payload  []byte
	expanded []byte
}

// Check reads everything in a data directory that no process has open, changes nothing, and
// reports what is not as it should be. An error says that it could not be read at all.
func Check(ctx context.Context, cfg Config, report func(Finding)) (summary CheckSummary, err error) {
	cfg = cfg.withDefaults()
	d := directory{cfg.FS, cfg.Dir}
	marked, err := d.inspect()
	if err == nil && marked.state != stateReady {
		err = &OpenError{Dir: cfg.Dir, Kind: ErrForeign, Err: errors.New("there is no store"), Hint: "name the server's data-dir"}
	}
	if err != nil {
		return summary, err
	}
	lock, err := d.acquire()
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	db, closeDB, err := openReadOnly(d, nil, cfg.Logger)
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	expand, err := newCompressor(cfg.CompressMinBytes, cfg.CompressMinGainPct)
	if err != nil {
		return summary, err
	}
	defer expand.close()
	c := &checker{
		ctx: ctx, db: db, files: newPayloadFiles(cfg.FS, cfg.Dir, cfg.Logger), expand: expand, report: report,
		names: make(map[cache.NamespaceID]string),
	}
	if c.rows, err = db.NewIter(&pebble.IterOptions{UseL6Filters: true}); err != nil {
		return summary, err
	}
	err = c.run()
	return c.summary, errors.Join(err, c.rows.Close())
}

func (c *checker) run() error {
	err := eachRow(c.db, kindNamespace, func(key, value []byte) error {
		row, ok := decodeNamespaceRow(key, value)
		if !ok {
			c.find(DataCorrupted, nil, fmt.Sprintf("the row of namespace %q", key[1:]))
			return nil
		}
		c.names[row.ID] = row.Name
		c.summary.Namespaces++
		return nil
	})
	for _, step := range []struct {
		kind  byte
		visit func(key, value []byte) error
	}{
		{kindRecord, c.record}, {kindPayload, c.payloadRow}, {kindQueue, c.queueRow},
		{kindExpiry, c.orderedRow}, {kindLabelIndex, c.labelRow},
	} {
		if err == nil {
			err = eachRow(c.db, step.kind, func(key, value []byte) error {
				return errors.Join(step.visit(key, value), c.ctx.Err())
			})
		}
		if pebble.IsCorruptionError(err) {
			c.find(DataCorrupted, nil, fmt.Sprintf("rows of kind %q: %v", step.kind, err))
			err = nil
		}
	}
	return errors.Join(err, c.orphans())
}

// find reports a finding about the record under an m key, nil if it is about none.
func (c *checker) find(code string, recordKey []byte, text string) {
	f := Finding{Code: code, Text: text}
	if recordKey != nil {
		ns, key := splitRecordKey(recordKey)
		f.Namespace, f.Key = c.names[ns], string(key)
	}
	if code == Leftover {
		c.summary.Leftovers++
	} else {
		c.summary.Damaged++
	}
	if c.report != nil {
		c.report(f)
	}
}

// isLive reports whether the rest of a key begins with a live generation.
func (c *checker) isLive(recordKey []byte) bool {
	if len(recordKey) < recordKeyOffset {
		return false
	}
	ns, _ := splitRecordKey(recordKey)
	_, ok := c.names[ns]
	return ok
}

// row reads a row; damage counts as absence and is found by the walk over its kind.
func (c *checker) row(key []byte) ([]byte, bool) {
	value, found, err := lookup(c.rows, key)
	return value, found && err == nil
}

// record checks an m row, and that all it calls for is there.
func (c *checker) record(key, value []byte) error {
	if !c.isLive(key) {
		return nil
	}
	c.summary.Records++
	h, err := decodeHeader(key, value)
	if err != nil {
		c.find(DataCorrupted, key, err.Error())
		return nil
	}
	ns, name := splitRecordKey(key)
	c.summary.Bytes += h.size(len(name))
	expect := func(what string, rowKey, want []byte) {
		if got, ok := c.row(rowKey); !ok || !bytes.Equal(got, want) {
			c.find(IndexCorrupted, key, "its row for "+what+" is missing or wrong")
		}
	}
	c.buffer = appendOrderedKey(c.buffer[:0], kindQueue, uint64(h.seq), key)
	expect("eviction", c.buffer, h.appendQueueValue(nil, len(name)))
	if deadline, ok := h.deadlineMs(); ok {
		c.buffer = appendOrderedKey(c.buffer[:0], kindExpiry, expiryOrder(deadline), key)
		expect("expiry", c.buffer, nil)
	}
	for kind, text := range h.attrs.Labels() {
		c.buffer = append(appendLabelPrefix(c.buffer[:0], ns, kind, text), name...)
		expect(fmt.Sprintf("label %q", text), c.buffer, nil)
	}
	if err := c.checkPayload(key, h); err != nil {
		c.find(DataCorrupted, key, err.Error())
	}
	return nil
}

// checkPayload reads the payload of a record, wherever it is.
func (c *checker) checkPayload(key []byte, h header) error {
	stored := h.payload
	switch h.placement {
	case placedRow:
		c.buffer = appendPayloadKey(c.buffer[:0], key)
		row, ok := c.row(c.buffer)
		if !ok {
			return errors.New("its payload is missing")
		}
		v, err := decodePayloadRow(key, row)
		if err != nil {
			return err
		}
		if v.seq != h.seq {
			return fmt.Errorf("its payload is of sequence %d, not %d", v.seq, h.seq)
		}
		stored = v.payload
	case placedFile:
		c.summary.Files++
		if uint64(cap(c.payload)) < h.storedLen {
			c.payload = make([]byte, h.storedLen)
		}
		stored = c.payload[:h.storedLen]
		err := c.files.read(h.fileID(), stored)
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("its payload file is missing: " + c.files.path(h.fileID()))
		}
		if err != nil {
			return err
		}
	}
	if checksum(stored) != h.crc {
		return errors.New("payload checksum")
	}
	var err error
	c.expanded, err = c.expand.expand(c.expanded, &h, stored)
	return err
}

// payloadRow checks that a v row has a record.
func (c *checker) payloadRow(key, _ []byte) error {
	c.buffer = append(append(c.buffer[:0], kindRecord), key[1:]...)
	if !c.isLive(c.buffer) {
		return nil
	}
	row, ok := c.row(c.buffer)
	if ok && len(row) > 3 && placement(row[3]) == placedRow {
		return nil
	}
	c.find(Leftover, c.buffer, "a payload without its record")
	return nil
}

func (c *checker) queueRow(key, value []byte) error {
	q, ok := decodeQueueRow(key, value)
	if !ok {
		c.find(Leftover, nil, fmt.Sprintf("a row for eviction that is none: %q", key))
		return nil
	}
	_, c.buffer, _ = splitOrderedKey(c.buffer[:0], key)
	if !c.isLive(c.buffer) {
		return nil
	}
	if row, ok := c.row(c.buffer); ok {
		if h, err := decodeHeader(c.buffer, row); err != nil || h.seq == q.seq {
			return nil // a damaged record was reported
		}
	}
	c.find(Leftover, c.buffer, "a row for eviction without its record")
	return nil
}

// orderedRow checks that an x row has a record, of whatever deadline: others are dropped
// when they are met.
func (c *checker) orderedRow(key, _ []byte) error {
	_, recordKey, ok := splitOrderedKey(c.buffer[:0], key)
	if c.buffer = recordKey; !ok || !c.isLive(c.buffer) {
		return nil
	}
	if _, ok := c.row(c.buffer); !ok {
		c.find(Leftover, c.buffer, "a row for expiry without its record")
	}
	return nil
}

// labelRow checks that an i row has a record.
func (c *checker) labelRow(key, _ []byte) error {
	const textAt = 1 + 8 + 1 + 2
	if len(key) < textAt {
		c.find(Leftover, nil, fmt.Sprintf("a label's row that is none: %q", key))
		return nil
	}
	textLen := int(key[textAt-2])<<8 | int(key[textAt-1])
	if len(key) < textAt+textLen {
		c.find(Leftover, nil, fmt.Sprintf("a label's row that is none: %q", key))
		return nil
	}
	c.buffer = append(append(append(c.buffer[:0], kindRecord), key[1:1+8]...), key[textAt+textLen:]...)
	if !c.isLive(c.buffer) {
		return nil
	}
	if _, ok := c.row(c.buffer); !ok {
		c.find(Leftover, c.buffer, fmt.Sprintf("a row for label %q without its record", key[textAt:textAt+textLen]))
	}
	return nil
}

// orphans looks for payload files that no record names.
func (c *checker) orphans() error {
	for shard := range fileShards {
		ids, foreign, err := c.files.list(shard)
		if err != nil {
			return err
		}
		for _, name := range foreign {
			c.find(Leftover, nil, "not a payload file: "+c.files.fs.PathJoin(c.files.shardDir(shard), name))
		}
		for _, id := range ids {
			named, err := isFileNamed(c.db, id)
			if err != nil {
				return err
			}
			if !named {
				c.find(Leftover, nil, "a payload file without its record: "+c.files.path(id))
			}
		}
	}
	return nil
}
