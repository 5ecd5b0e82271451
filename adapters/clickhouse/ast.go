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
	parent     *node
	children   []*node
}

// A node's line ends with the number of its children, if it has any.
var nodeChildren = regexp.MustCompile(`\(children (\d+)\)$`)

// parseTree reads the tree. ok is false if the text is not a whole one: another output
// format or a limit in the statement changes what EXPLAIN prints, and what is not shown
// cannot be checked. So every node must have as many children as it says.
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

// withoutFormat are the texts whose tree is the statement's: without its FORMAT clause,
// which would be EXPLAIN's own, and as it is.
func withoutFormat(text []byte) []string {
	l := &lexer{text: text}
	var tokens []token
	for t, more := l.next(); more; t, more = l.next() {
		tokens = append(tokens, t)
	}
	for i := len(tokens) - 2; i > 0; i-- {
		if tokens[i].depth == 0 && l.is(tokens[i], "FORMAT") && tokens[i+1].kind == tokenWord {
			return []string{string(text[:tokens[i].start]) + " " + string(text[tokens[i+1].end:]), string(text)}
		}
	}
	return []string{string(text)}
}
