// Renders a chart as `helm template` does, where there is no helm: the same engine (text/template with sprig), the same
// order of values, an error for a template that fails. For checks only; it knows no hooks, subcharts or cluster.
//
// usage: render CHART RELEASE NAMESPACE [VALUES.yaml …]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type values = map[string]interface{}

type files struct{ root string }

// Get is the text of a file of the chart, empty if there is none, as helm has it.
func (f files) Get(name string) string {
	text, err := os.ReadFile(filepath.Join(f.root, name))
	if err != nil {
		return ""
	}
	return string(text)
}

type chart struct{ Name, Version, AppVersion, Description, Type, ApiVersion string }

type release struct {
	Name, Namespace, Service string
	Revision                 int
	IsInstall, IsUpgrade     bool
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(path string) values {
	text, err := os.ReadFile(path)
	must(err)
	found := values{}
	must(yaml.UnmarshalStrict(text, &found))
	return found
}

// lay puts one map over another: maps are merged, null takes a key away, all else replaces.
func lay(base, over values) values {
	for key, value := range over {
		inner, isMap := value.(values)
		below, wasMap := base[key].(values)
		switch {
		case value == nil:
			delete(base, key)
		case isMap && wasMap:
			base[key] = lay(below, inner)
		default:
			base[key] = value
		}
	}
	return base
}

func functions(all *template.Template) template.FuncMap {
	known := sprig.TxtFuncMap()
	delete(known, "env")
	delete(known, "expandenv")
	known["toYaml"] = func(value interface{}) string {
		text, err := yaml.Marshal(value)
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(string(text), "\n")
	}
	known["fromYaml"] = func(text string) values {
		found := values{}
		if err := yaml.Unmarshal([]byte(text), &found); err != nil {
			found["Error"] = err.Error()
		}
		return found
	}
	known["toJson"] = func(value interface{}) string {
		text, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		return string(text)
	}
	known["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	known["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	return known
}

func main() {
	root, name, namespace := os.Args[1], os.Args[2], os.Args[3]
	set := read(filepath.Join(root, "values.yaml"))
	for _, path := range os.Args[4:] {
		set = lay(set, read(path))
	}
	text, err := os.ReadFile(filepath.Join(root, "Chart.yaml"))
	must(err)
	var about chart
	must(yaml.Unmarshal(text, &about))

	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	paths, err := filepath.Glob(filepath.Join(root, "templates", "*"))
	must(err)
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		must(err)
		_, err = all.New(path).Parse(string(text))
		must(err)
	}
	data := values{
		"Values": set, "Chart": about, "Files": files{root},
		"Release": release{Name: name, Namespace: namespace, Service: "Helm", Revision: 1, IsInstall: true},
	}
	for _, path := range paths {
		if strings.HasPrefix(filepath.Base(path), "_") {
			continue
		}
		var out bytes.Buffer
		must(all.ExecuteTemplate(&out, path, data))
		rendered := strings.ReplaceAll(out.String(), "<no value>", "")
		if strings.HasSuffix(path, ".txt") {
			fmt.Fprint(os.Stderr, rendered)
		} else if strings.TrimSpace(rendered) != "" {
			fmt.Printf("---\n# Source: %s\n%s\n", path, rendered)
		}
	}
}
