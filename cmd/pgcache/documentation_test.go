package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// TestDocumentationListsEverySetting keeps the table of docs/configuration.md true.
func TestDocumentationListsEverySetting(t *testing.T) {
	content, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(nil, environ(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range s.model {
		standard := "none"
		if flag.HasDefault {
			standard = "`" + flag.Default + "`"
		}
		row := fmt.Sprintf("| `--%s` | `%s` | %s |", flag.Name, environmentName(flag.Name), standard)
		if !strings.Contains(string(content), row) {
			t.Errorf("docs/configuration.md lacks %s", row)
		}
	}
}
