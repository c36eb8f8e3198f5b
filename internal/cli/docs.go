package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

func (a *app) docsCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "docs", Hidden: true, Args: exactly(), Short: "Write the reference of the commands as Markdown",
		Long: "Write one Markdown page for each command.",
	}
	cmd.Flags().StringVar(&dir, "dir", "docs/cli", "directory to write to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
		}
		return writePages(cmd.Root(), dir)
	}
	return cmd
}

// writePages writes the page of a command and of those below it.
func writePages(cmd *cobra.Command, dir string) error {
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := writePages(sub, dir); err != nil {
			return err
		}
	}
	if cmd.GroupID == groupRun { // it does not connect to a controller as the others do
		hide := func(hidden bool) {
			cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = hidden })
		}
		hide(true)
		defer hide(false)
	}
	var page bytes.Buffer
	if err := doc.GenMarkdown(cmd, &page); err != nil {
		return fmt.Errorf("rendering the page of %s: %w", cmd.CommandPath(), err)
	}
	name := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "_")+".md")
	if err := os.WriteFile(name, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the page of %s: %w", cmd.CommandPath(), err)
	}
	return nil
}
