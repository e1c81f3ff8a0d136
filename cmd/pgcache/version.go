package main

import (
	"runtime/debug"
	"strings"
)

// version is set by the linker in release builds: -ldflags "-X main.version=0.1.0".
var version string

// buildVersion is the program's version: what the linker was told, else the module's
// version, else the commit it was built from.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return strings.TrimPrefix(v, "v")
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
