package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"pgcache/cache"
)

// settings are everything that can be configured. A field is a flag, an environment
// variable and a key of the configuration file at once; the tags are their documentation.
// A field tagged unit appears in cache_settings with that unit, one tagged private for
// administrators only.
type settings struct {
	Listen  []listenAddress `name:"listen" private:"" default:"127.0.0.1:7432" sep:" " placeholder:"ADDRESS" unit:"" help:"Where to listen: HOST:PORT or the directory of a Unix socket; several with spaces between. Options follow an address behind commas: auth=scram, trust or cert, tls=require, allow or off. Other machines are let in with authentication only."`
	DataDir string          `name:"data-dir" private:"" placeholder:"DIR" unit:"" help:"Directory of the disk tier. Empty: memory only, nothing survives a restart."`

	L1Bytes byteSize `name:"l1-bytes" default:"256MiB" unit:"bytes" help:"Memory for entries, with keys, labels and index counted."`
	L2Bytes byteSize `name:"l2-bytes" default:"4GiB" unit:"bytes" help:"Disk for entries, in the data directory."`

	L1Policy           l1Policy      `name:"l1-policy" default:"s3fifo" placeholder:"POLICY" unit:"" help:"Which entries leave memory first when it is full: s3fifo or sieve."`
	Durability         durability    `name:"durability" default:"interval" placeholder:"MODE" unit:"" help:"What an acknowledged write survives: always (puts and invalidations are on disk before they are answered), interval (invalidations are, puts within durability-interval) or off (neither)."`
	DurabilityInterval time.Duration `name:"durability-interval" default:"1s" unit:"ms" help:"How much of the latest puts a power failure can cost when durability is interval."`

	MaxBlobBytes   byteSize `name:"max-blob-bytes" placeholder:"SIZE" unit:"bytes" help:"Largest value. 0: 64MiB. Without data-dir at most an eighth of l1-bytes."`
	MaxNamespaces  int      `name:"max-namespaces" default:"10000" unit:"" help:"Most namespaces at one time."`
	MaxConnections int      `name:"max-connections" default:"10000" unit:"" help:"Most connections at one time."`

	L2BlockCacheBytes byteSize `name:"l2-block-cache-bytes" default:"64MiB" unit:"bytes" help:"Memory in which the disk tier keeps blocks of its files."`
	L2MemTableBytes   byteSize `name:"l2-memtable-bytes" default:"8MiB" unit:"bytes" help:"Memory in which the disk tier gathers writes before they become a file."`

	L2FileMinBytes byteSize `name:"l2-file-min-bytes" default:"64KiB" unit:"bytes" help:"Values that take at least this much on disk, compressed, get a file of their own."`

	L2FreeBytesMin byteSize  `name:"l2-free-bytes-min" placeholder:"SIZE" unit:"bytes" help:"With less free disk space than this the disk tier takes no new entries. 0: 2GiB, or 5 % of the disk if that is more."`
	L2BallastBytes byteSize  `name:"l2-ballast-bytes" default:"64MiB" unit:"bytes" help:"Disk space set aside, so that invalidations become durable on a full disk too. 0: none."`
	OnCorrupt      onCorrupt `name:"on-corrupt" default:"refuse" placeholder:"ACTION" unit:"" help:"What to do with a damaged data directory: refuse to start, or rename, which moves its content into a folder inside it and starts empty."`

	wireSettings

	ShutdownTimeout time.Duration `name:"shutdown-timeout" default:"30s" unit:"ms" help:"How long a stop waits for running statements, and then for writing to disk."`

	L2PromoteOn        promoteOn `name:"l2-promote-on" default:"first" placeholder:"HIT" unit:"" help:"Which hit on disk brings an entry into memory: the first, or the second."`
	L2PromotionWorkers int       `name:"l2-promotion-workers" default:"0" unit:"" help:"Workers that do so in the background, behind a queue whose oldest entries give way. 0: the reading statement does."`
	L2PromotionQueue   int       `name:"l2-promotion-queue" default:"1024" unit:"" help:"Most entries in that queue."`

	SlowLogMs            int           `name:"slow-log-ms" default:"100" unit:"ms" help:"Statements that take at least so many milliseconds are told by cache_slow_log. 0: none."`
	StatsHistoryInterval time.Duration `name:"stats-history-interval" default:"1m" unit:"ms" help:"How often cache_stats_history gets rows. 0: never."`

	LogLevel  logLevel  `name:"log-level" default:"info" placeholder:"LEVEL" unit:"" help:"Least severe messages to log: debug, info, warn or error."`
	LogFormat logFormat `name:"log-format" default:"text" placeholder:"FORMAT" unit:"" help:"How to log: text or json."`

	// sources tells where each setting, by flag name, came from.
	sources map[string]source
	model   []*kong.Flag
	// command is the command as kong names it, e.g. "serve" or "user add <name>".
	command string
	user    *userCommand
	storage *storageCommands
}

// commandLine is what kong parses: the settings, and what is not a setting.
type commandLine struct {
	Config  string      `name:"config" placeholder:"FILE" help:"Read settings from this YAML file; its keys are the flags' names."`
	Version versionFlag `name:"version" help:"Print the version and exit."`

	settings

	Serve struct{}    `cmd:"" default:"1" help:"Serve clients. This is what happens without a command."`
	User  userCommand `cmd:"" help:"Manage the users file."`

	storageCommands
}

// versionFlag prints the version and ends the parse.
type versionFlag bool

// BeforeReset runs as soon as the flag is seen, before other flags are judged.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintf(app.Stdout, "pgcache %s\n", buildVersion())
	return errAnswered
}

// errAnswered says that --help or --version gave its answer and nothing is left to do.
var errAnswered = errors.New("answered")

// usageError is a wrong setting: exit code 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

const description = `A cache server for every PostgreSQL client.

Every flag can also be given as an environment variable (--l1-bytes as PGCACHE_L1_BYTES) or as a key
of the file named by --config (l1-bytes: 1GiB). A flag beats the environment, which beats the file.`

// loadSettings reads the settings from all sources and checks them. Its errors are for
// the user. errAnswered means that the arguments asked for help or the version.
func loadSettings(args []string, env func(string) (string, bool), stdout io.Writer) (*settings, error) {
	var line commandLine
	layers := &layers{env: env, sources: make(map[string]source)}
	answered := false
	parser, err := kong.New(&line, kong.Name("pgcache"), kong.Description(description),
		kong.Writers(stdout, io.Discard), kong.Exit(func(int) { answered = true }),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration)),
		kong.Resolvers(layers), kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}), kong.Help(printHelp))
	if err != nil {
		return nil, fmt.Errorf("describe settings: %w", err)
	}
	parsed, err := parser.Parse(args)
	switch {
	case answered || errors.Is(err, errAnswered):
		return nil, errAnswered
	case layers.err != nil:
		return nil, layers.err
	case err != nil:
		return nil, usagef("%v; pgcache --help shows the usage", err)
	}
	s := &line.settings
	s.sources = layers.sources
	for _, flag := range parser.Model.Flags {
		if flag.Tag.Has("unit") {
			s.model = append(s.model, flag)
		}
	}
	if s.command = parsed.Command(); s.command != "serve" {
		s.user, s.storage = &line.User, &line.storageCommands
		return s, nil
	}
	return s, s.validate()
}

// printHelp prints the flags that a command heeds: of the server's settings, only some matter
// to the commands that do not serve.
func printHelp(options kong.HelpOptions, parsed *kong.Context) error {
	var heeds []string
	switch command := parsed.Selected(); {
	case command == nil || command.Name == "serve":
		return kong.DefaultHelpPrinter(options, parsed)
	case command.Name == "user" || command.Parent != nil && command.Parent.Name == "user":
		heeds = []string{"help", "config", "users-file"}
	default:
		heeds = []string{"help", "config", "data-dir", "l2-bytes", "log-level", "log-format"}
	}
	for _, flag := range parsed.Model.Flags {
		flag.Hidden = !slices.Contains(heeds, flag.Name)
	}
	return kong.DefaultHelpPrinter(options, parsed)
}

// readDuration reads a time. It is kong's but for the message, which says what to write.
func readDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value)
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a time: write it as 500ms, 30s or 1m30s", text)
	}
	target.Set(reflect.ValueOf(d))
	return nil
}

// logLevel is a severity by name.
type logLevel slog.Level

// UnmarshalText reads a severity.
func (l *logLevel) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "debug":
		*l = logLevel(slog.LevelDebug)
	case "info":
		*l = logLevel(slog.LevelInfo)
	case "warn":
		*l = logLevel(slog.LevelWarn)
	case "error":
		*l = logLevel(slog.LevelError)
	default:
		return fmt.Errorf("%q is not a level: write debug, info, warn or error", text)
	}
	return nil
}

func (l logLevel) String() string { return strings.ToLower(slog.Level(l).String()) }

// durability is a cache.Durability by name.
type durability cache.Durability

// UnmarshalText reads a mode.
func (d *durability) UnmarshalText(text []byte) error {
	mode, ok := cache.ParseDurability(strings.ToLower(string(text)))
	if !ok {
		return fmt.Errorf("%q is not a durability: write always, interval or off", text)
	}
	*d = durability(mode)
	return nil
}

// onCorrupt is what becomes of a damaged data directory.
type onCorrupt string

// UnmarshalText reads an action.
func (a *onCorrupt) UnmarshalText(text []byte) error {
	switch s := strings.ToLower(string(text)); s {
	case "refuse", "rename":
		*a = onCorrupt(s)
		return nil
	}
	return fmt.Errorf("%q is no action: write refuse or rename", text)
}

func (d durability) String() string { return cache.Durability(d).String() }

// l1Policy is an eviction policy by name.
type l1Policy string

// UnmarshalText reads a policy.
func (p *l1Policy) UnmarshalText(text []byte) error {
	switch s := strings.ToLower(string(text)); s {
	case "s3fifo", "sieve":
		*p = l1Policy(s)
		return nil
	}
	return fmt.Errorf("%q is not an eviction policy: write s3fifo or sieve", text)
}

// logFormat is text or json.
type logFormat string

// UnmarshalText reads a format.
func (f *logFormat) UnmarshalText(text []byte) error {
	switch s := strings.ToLower(string(text)); s {
	case "text", "json":
		*f = logFormat(s)
		return nil
	}
	return fmt.Errorf("%q is not a log format: write text or json", text)
}

// row is a setting as cache_settings shows it.
type row struct {
	name, value, unit, source, description string
	isPrivate                              bool
}

// rows lists all settings in the order of --help. Names have underscores, as PostgreSQL's
// settings do; the configuration file takes them like that too.
func (s *settings) rows() []row {
	rows := make([]row, 0, len(s.model))
	for _, flag := range s.model {
		from, ok := s.sources[flag.Name]
		if !ok {
			from = source{kind: "default"}
		}
		rows = append(rows, row{
			name:        strings.ReplaceAll(flag.Name, "-", "_"),
			value:       plainValue(flag.Target),
			unit:        flag.Tag.Get("unit"),
			source:      from.String(),
			description: flag.Help,
			isPrivate:   flag.Tag.Has("private"),
		})
	}
	return rows
}

// plainValue is a setting's value without its unit.
func plainValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return strconv.FormatInt(x.Milliseconds(), 10)
	case byteSize:
		return strconv.FormatInt(int64(x), 10)
	case []listenAddress:
		texts := make([]string, len(x))
		for i := range x {
			texts[i] = x[i].text
		}
		return strings.Join(texts, " ")
	default:
		return fmt.Sprint(x)
	}
}

// promoteOn is first or second.
type promoteOn cache.PromoteOn

// UnmarshalText reads it.
func (p *promoteOn) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "first":
		*p = promoteOn(cache.PromoteOnFirstHit)
	case "second":
		*p = promoteOn(cache.PromoteOnSecondHit)
	default:
		return fmt.Errorf("%q is no hit to promote on: write first or second", text)
	}
	return nil
}

func (p promoteOn) String() string { return cache.PromoteOn(p).String() }
