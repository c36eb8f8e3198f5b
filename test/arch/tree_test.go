package arch_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// file is what the rules need to know of one Go file.
type file struct {
	path      string // slash-separated, below the module
	name      string // of the package
	test      bool
	generated bool
	lines     int
	imports   []string
	uses      map[string]int // "name.Selector" → how often
	literals  []string       // text of string literals, struct tags and imports excepted
	sleeps    []int          // lines that call time.Sleep
}

// skipped are folders that hold no code of this module.
var skipped = map[string]bool{".git": true, "bin": true, "data": true, "node_modules": true, "testdata": true, "tools": true, "ui": true, "vendor": true}

// load parses every Go file of the module.
func load(module fs.FS) ([]file, error) {
	var files []file
	err := fs.WalkDir(module, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped[d.Name()]:
			return fs.SkipDir
		case d.IsDir() && p != "." && isModule(module, p):
			return fs.SkipDir
		case d.IsDir() || path.Ext(p) != ".go":
			return nil
		}
		f, err := parse(module, p)
		if err != nil {
			return fmt.Errorf("reading %s: %w", p, err)
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// isModule says that a folder is a module of its own, such as a rig.
func isModule(tree fs.FS, folder string) bool {
	_, err := fs.Stat(tree, path.Join(folder, "go.mod"))
	return err == nil
}

func parse(module fs.FS, p string) (file, error) {
	src, err := fs.ReadFile(module, p)
	if err != nil {
		return file{}, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f := file{
		path: p, name: tree.Name.Name,
		test:      strings.HasSuffix(p, "_test.go"),
		generated: ast.IsGenerated(tree),
		lines:     bytes.Count(src, []byte("\n")),
		uses:      map[string]int{},
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			imp, err := strconv.Unquote(n.Path.Value)
			if err == nil {
				f.imports = append(f.imports, imp)
			}
			return false
		case *ast.Field:
			n.Tag = nil // examples in struct tags are documentation
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				f.uses[x.Name+"."+n.Sel.Name]++
				if x.Name == "time" && n.Sel.Name == "Sleep" {
					f.sleeps = append(f.sleeps, fset.Position(n.Pos()).Line)
				}
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				if s, err := strconv.Unquote(n.Value); err == nil {
					f.literals = append(f.literals, s)
				}
			}
		}
		return true
	})
	return f, nil
}
