package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// environmentPrefix begins the name of every environment variable that is a setting.
const environmentPrefix = "PGCACHE_"

// configBytesMax bounds the configuration file, so that a wrong path (a device, a dump)
// is an error and not an endless read. A full file takes about 1 KiB.
const configBytesMax = 1 << 20

// source is where a setting came from.
type source struct {
	kind string // "flag", "environment", "file" or "default"
	at   string // the variable, or file and line
}

func (s source) String() string {
	if s.at == "" {
		return s.kind
	}
	return s.kind + " " + s.at
}

// layers finds the settings that are not on the command line: in the environment, else
// in the configuration file. Kong asks it for one flag after another.
type layers struct {
	env     func(string) (string, bool)
	file    map[string]fileValue
	loaded  bool
	sources map[string]source
	err     error // the first problem, in words for the user
}

// fileValue is a scalar of the configuration file.
type fileValue struct {
	text   string
	source source
}

func (l *layers) Validate(*kong.Application) error { return nil }

// Resolve answers nil when neither the environment nor the file sets the flag. It checks
// the value itself, because kong's message would not say where a wrong one came from.
func (l *layers) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !l.loaded {
		l.loaded = true
		l.markFlags(ctx)
		if err := l.loadFile(ctx); err != nil {
			l.err = err
		}
	}
	if l.err != nil || !flag.Tag.Has("unit") {
		return nil, nil
	}
	found, ok := l.find(flag.Name)
	if !ok {
		return nil, nil
	}
	scratch := reflect.New(flag.Target.Type()).Elem()
	decode := &kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(found.text, kong.FlagValueToken)}
	if err := flag.Mapper.Decode(decode, scratch); err != nil {
		l.err = usagef("%s: %v (from %s)", flag.Name, err, found.source)
		return nil, nil
	}
	l.sources[flag.Name] = found.source
	return found.text, nil
}

// find looks a setting up by flag name. An empty variable counts as not set, which is
// what a shell or a compose file can say.
func (l *layers) find(name string) (fileValue, bool) {
	variable := environmentName(name)
	if text, ok := l.env(variable); ok && text != "" {
		return fileValue{text: text, source: source{kind: "environment", at: variable}}, true
	}
	v, ok := l.file[name]
	return v, ok
}

func environmentName(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// markFlags notes what the command line sets.
func (l *layers) markFlags(ctx *kong.Context) {
	for _, p := range ctx.Path {
		if p.Flag != nil {
			l.sources[p.Flag.Name] = source{kind: "flag"}
		}
	}
}

// loadFile reads the file named by --config or PGCACHE_CONFIG, if one is.
func (l *layers) loadFile(ctx *kong.Context) error {
	path, _ := l.env(environmentName("config"))
	known := make(map[string]bool)
	for _, flag := range ctx.Model.Flags {
		known[flag.Name] = flag.Tag.Has("unit")
	}
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			path, _ = ctx.FlagValue(p.Flag).(string)
		}
	}
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return usagef("config: %v", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, configBytesMax+1))
	if err != nil {
		return usagef("config: %v", err)
	}
	if len(content) > configBytesMax {
		return usagef("config: %s is larger than %d bytes, which no configuration needs; is it the right file?", path, configBytesMax)
	}
	l.file, err = parseFile(path, content, known)
	return err
}

// parseFile reads a YAML mapping of settings to scalars. Keys may have underscores in
// place of hyphens. A key that is not known, or given twice, is an error that names it.
func parseFile(path string, content []byte, known map[string]bool) (map[string]fileValue, error) {
	var document yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil // empty, or comments only
	}
	if err != nil {
		return nil, usagef("config: %s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, usagef("config: %s: expected lines like \"l1-bytes: 1GiB\"", path)
	}
	values := make(map[string]fileValue)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		at := fmt.Sprintf("%s:%d", path, key.Line)
		name := strings.ReplaceAll(key.Value, "_", "-")
		if !known[name] {
			return nil, usagef("config: %s: unknown setting %q; pgcache --help lists them", at, key.Value)
		}
		if _, twice := values[name]; twice {
			return nil, usagef("config: %s: %s is set twice", at, key.Value)
		}
		if value.Kind != yaml.ScalarNode {
			return nil, usagef("config: %s: %s takes one value, not a list or a mapping", at, key.Value)
		}
		if value.Tag == "!!null" {
			return nil, usagef("config: %s: %s has no value; remove the line for the default", at, key.Value)
		}
		values[name] = fileValue{text: value.Value, source: source{kind: "file", at: at}}
	}
	return values, nil
}
