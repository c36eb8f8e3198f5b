package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/secrets/localsecrets"
)

// maxKeyFile bounds what is read as a key file.
const maxKeyFile = 4096

// loadOrMakeKey reads a key file or makes it, durable before it is used, mode
// 0600. Two processes that make it at once end up with the same key.
func loadOrMakeKey(path string) ([32]byte, error) {
	key, err := loadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = localsecrets.NewRandomKey(); err != nil {
		return key, err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".key-*") // 0600
	if err != nil {
		return key, err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // a leftover does no harm
	_, err = tmp.WriteString(base64.StdEncoding.EncodeToString(key[:]) + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return key, err
	}
	// A link, unlike a rename, fails when the name is taken.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return key, err
	}
	if err := syncDir(dir); err != nil {
		return key, err
	}
	return loadKey(path)
}

func loadKey(path string) ([32]byte, error) {
	var key [32]byte
	info, err := os.Stat(path)
	if err != nil {
		return key, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return key, errors.New("it is no key file")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return key, fmt.Errorf("mode %04o lets others read it: run chmod 600", mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	if key, err = localsecrets.Base64KeyStd(strings.TrimSpace(string(text))); err != nil {
		return key, errors.New("it does not hold 32 bytes in base64: put the original key back")
	}
	return key, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
