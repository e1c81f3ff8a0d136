package sqlmap

import (
	_ "embed"
	"strings"
)

// commentsText has what \d+ and \df+ show of our columns and procedures: a line each, its name
// and the comment. cache_entries has the columns of blob.
//
//go:embed comments.txt
var commentsText string

// comments are the comments by "relation.column" and "procedure()".
func comments() map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(commentsText) {
		if name, comment, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[name] = strings.TrimSpace(comment)
		}
	}
	return out
}

// columnComment is the comment on a column.
func columnComment(comments map[string]string, relation, column string) string {
	if relation == "cache_entries" {
		relation = "blob"
	}
	return comments[relation+"."+column]
}
