package clickhouse

import (
	"regexp"
	"strconv"
	"strings"
)

// node is one of the tree that the engine's parser makes of a statement, as EXPLAIN AST
// prints it: a line each, one space deeper than its parent.
type node struct {
	kind, name string // such as Function, count
	alias      string
	parent     *node
	children   []*node
}

// A node's line ends with the number of its children, if it has any.
var nodeChildren = regexp.MustCompile(`\(children (\d+)\)$`)

// parseTree reads the tree. ok is false if the text is not a complete one: another output
// format or a limit in the statement changes what EXPLAIN prints, and what is not shown
// cannot be checked. So every node must have as many children as it declares.
func parseTree(text string) (root *node, ok bool) {
	type open struct {
		*node
		want int
	}
	var path []open
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		depth := len(line) - len(strings.TrimLeft(line, " "))
		words := strings.Fields(line)
		if len(words) == 0 || depth > len(path) || depth == 0 && root != nil {
			return nil, false
		}
		for len(path) > depth {
			last := path[len(path)-1]
			if len(last.children) != last.want {
				return nil, false
			}
			path = path[:len(path)-1]
		}
		n := &node{kind: words[0]}
		if len(words) > 1 && !strings.HasPrefix(words[1], "(") {
			n.name = words[1]
		}
		n.alias = aliasOf(line)
		want := 0
		if m := nodeChildren.FindStringSubmatch(line); m != nil {
			var err error
			if want, err = strconv.Atoi(m[1]); err != nil {
				return nil, false
			}
		}
		if depth == 0 {
			root = n
		} else {
			n.parent = path[depth-1].node
			n.parent.children = append(n.parent.children, n)
		}
		path = append(path, open{n, want})
	}
	for _, o := range path {
		if len(o.children) != o.want {
			return nil, false
		}
	}
	return root, root != nil
}

// walk calls visit for the node and all below it.
func (n *node) walk(visit func(*node) error) error {
	if err := visit(n); err != nil {
		return err
	}
	for _, child := range n.children {
		if err := child.walk(visit); err != nil {
			return err
		}
	}
	return nil
}

// aliasOf a node is what stands last in its line, but for the number of its children.
func aliasOf(line string) string {
	const begin = " (alias "
	line = strings.TrimSuffix(line, nodeChildren.FindString(line))
	line, ended := strings.CutSuffix(strings.TrimRight(line, " "), ")")
	at := strings.LastIndex(line, begin)
	if !ended || at < 0 {
		return ""
	}
	return line[at+len(begin):]
}

// withoutFormat is the statement without its FORMAT clause, which would be EXPLAIN's own,
// and the clause as the engine writes it. ok is false if there is none that our lexer sees.
func withoutFormat(text []byte) (rest, clause string, ok bool) {
	l := &lexer{text: text}
	var tokens []token
	for t, more := l.next(); more; t, more = l.next() {
		tokens = append(tokens, t)
	}
	for i := len(tokens) - 2; i > 0; i-- {
		if name, ok := l.formatName(tokens[i], tokens[i+1]); ok {
			return string(text[:tokens[i].start]) + " " + string(text[tokens[i+1].end:]), " FORMAT " + name, true
		}
	}
	return "", "", false
}
