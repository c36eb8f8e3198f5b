package openstack

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed templates
var templates embed.FS

//go:embed all:python
var python embed.FS

// configured are the templates that become files of the same name.
var configured = []string{
	"keystone.conf", "placement.conf", "glance-api.conf", "nova.conf", "neutron.conf", "cinder.conf", "rabbitmq.conf",
}

func (r *Rig) config(name string) string { return r.path("etc", name) }

// root is where the packages lie of which only files are wanted.
func (r *Rig) root() string { return filepath.Join(r.cache, "root") }

func (r *Rig) databaseURL(name string) string {
	return "mysql+pymysql://root@localhost/" + name + "?unix_socket=" + r.socket() + "&charset=utf8"
}

func (r *Rig) transport() string {
	return fmt.Sprintf("rabbit://rig:%s@%s:%d/", r.Secrets.Messages, host, r.Ports.Messages)
}

// configure writes the configuration of every service.
func (r *Rig) configure() error {
	type account struct{ Account, Service string }
	functions := template.FuncMap{
		"databaseURL":     r.databaseURL,
		"identityURL":     r.IdentityURL,
		"servicePassword": func() string { return r.Secrets.Service },
		"region":          func() string { return r.Region },
		"locks":           func() string { return r.path("tmp") },
		"pair":            func(a, s string) account { return account{a, s} },
	}
	t, err := template.New("").Funcs(functions).ParseFS(templates, "templates/*")
	if err != nil {
		return err
	}
	data := struct {
		*Rig
		Host, Transport, Share, Root string
	}{r, host, r.transport(), filepath.Join(r.root(), "usr/share"), r.root()}
	for _, name := range configured {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name, data); err != nil {
			return err
		}
		if err := os.WriteFile(r.config(name), b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(r.config("enabled_plugins"), []byte("[].\n"), 0o600); err != nil {
		return err
	}
	return r.copyPython()
}

func (r *Rig) copyPython() error {
	return fs.WalkDir(python, "python", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(r.path(path), 0o700)
		}
		b, err := python.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(r.path(path), b, 0o600)
	})
}

// keys makes what `keystone-manage fernet_setup` and `credential_setup` make.
func (r *Rig) keys() error {
	for _, repository := range []string{"fernet", "credential"} {
		if err := os.MkdirAll(r.path("etc", repository), 0o700); err != nil {
			return err
		}
		for _, name := range []string{"0", "1"} {
			key := make([]byte, 32)
			if _, err := rand.Read(key); err != nil {
				return err
			}
			if err := os.WriteFile(r.path("etc", repository, name), []byte(base64.URLEncoding.EncodeToString(key)), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func secret() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
