package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

const manifestLong = `Manifests are YAML or JSON documents:

  apiVersion: headroom.dev/v1
  kind: Pool
  metadata:
    name: desktops
  spec:
    type: docker_agent

A directory stands for its files *.yaml, *.yml and *.json; "-" is standard
input. All documents of one command are one set: they may refer to one another
in any order, and either all of them take effect or none. What is wrong with
them is listed at once, with file, line and field.`

func manifestFlags(cmd *cobra.Command, files *[]string, recursive *bool) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "file, directory or - with manifests (repeatable)")
	cmd.Flags().BoolVarP(recursive, "recursive", "R", false, "also the directories below the given ones")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
}

func (a *app) applyCommand() *cobra.Command {
	var files []string
	var recursive, dryRun, prune bool
	var output string
	cmd := &cobra.Command{
		Use: "apply -f FILE|DIR|-", GroupID: groupConfig, Args: exactly(),
		Short: "Make the objects be as the manifests say",
		Long: "Create and update objects so that they are as the manifests say. Applying the\nsame set again changes nothing.\n\n" + manifestLong + `

With --prune objects that an earlier apply made and that the set does not name
any more are deleted. --dry-run checks everything and changes nothing.`,
		Example: `  headroom apply -f pools.yaml
  headroom apply -f fleet/ -R --prune --dry-run
  generate | headroom apply -f -`,
	}
	manifestFlags(cmd, &files, &recursive)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and show, but change nothing")
	cmd.Flags().BoolVar(&prune, "prune", false, "delete applied objects that the manifests do not name")
	outputFlag(cmd, &output, formatTable, formatJSON, formatYAML, formatName)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		docs, err := a.documents(files, recursive)
		if err != nil {
			return err
		}
		result, err := c.Apply(ctx, client.ApplyRequest{Documents: docs, DryRun: dryRun, Prune: prune})
		if err != nil {
			a.nothingApplied(err)
			return err
		}
		if output == formatName {
			for _, ch := range result.Changes {
				if _, err := fmt.Fprintln(a.out, objectName(ch)); err != nil {
					return err
				}
			}
			return nil
		}
		return a.print(output, result, func() error { return a.printApplied(result, dryRun) })
	})
	return cmd
}

// nothingApplied says what an error means for the set as a whole.
func (a *app) nothingApplied(err error) {
	if code := fleet.CodeOf(err); code == fleet.CodeInvalid || code == fleet.CodeConflict || code == fleet.CodeInUse {
		a.say("Nothing was changed:\n")
	}
}

func objectName(ch client.Change) string {
	if k, err := findKind(string(ch.Kind)); err == nil {
		return k.singular + "/" + ch.Name
	}
	return strings.ToLower(string(ch.Kind)) + "/" + ch.Name
}

var pastTense = map[client.Action]string{
	client.ActionCreate: "created", client.ActionUpdate: "updated",
	client.ActionDelete: "deleted", client.ActionUnchanged: "unchanged",
}

func (a *app) printApplied(result *client.ApplyResult, dryRun bool) error {
	var b strings.Builder
	for _, ch := range result.Changes {
		word := first(pastTense[ch.Action], string(ch.Action))
		if dryRun && ch.Action != client.ActionUnchanged {
			word += " (dry run)"
		}
		fmt.Fprintf(&b, "%s %s\n", objectName(ch), a.actionColor(ch.Action, word))
		writeNotes(&b, ch.Notes)
	}
	if len(result.Changes) == 0 {
		b.WriteString("no objects in the manifests\n")
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func (a *app) actionColor(action client.Action, s string) string {
	if !a.color {
		return s
	}
	switch action {
	case client.ActionCreate:
		return paint("32")(s)
	case client.ActionUpdate:
		return paint("33")(s)
	case client.ActionDelete:
		return paint("31")(s)
	}
	return paint("2")(s)
}

func writeNotes(b *strings.Builder, notes []string) {
	for _, n := range notes {
		fmt.Fprintf(b, "  note: %s\n", oneLine(n))
	}
}

func (a *app) diffCommand() *cobra.Command {
	var files []string
	var recursive, prune bool
	var output string
	cmd := &cobra.Command{
		Use: "diff -f FILE|DIR|-", GroupID: groupConfig, Args: exactly(),
		Short: "Show what apply would change",
		Long: "Show field by field what apply would change, and change nothing. The exit code\nis 8 when there are changes and 0 when there are none.\n\n" +
			manifestLong,
		Example: `  headroom diff -f pools.yaml
  headroom diff -f fleet/ -R --prune`,
	}
	manifestFlags(cmd, &files, &recursive)
	cmd.Flags().BoolVar(&prune, "prune", false, "also show what apply --prune would delete")
	outputFlag(cmd, &output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		docs, err := a.documents(files, recursive)
		if err != nil {
			return err
		}
		result, err := c.Apply(ctx, client.ApplyRequest{Documents: docs, DryRun: true, Prune: prune})
		if err != nil {
			return err
		}
		if err := a.print(output, result, func() error { return a.printDiff(result) }); err != nil {
			return err
		}
		for _, ch := range result.Changes {
			if ch.Action != client.ActionUnchanged {
				return &exitError{code: ExitDiff}
			}
		}
		return nil
	})
	return cmd
}

func (a *app) printDiff(result *client.ApplyResult) error {
	signs := map[client.Action]string{client.ActionCreate: "+", client.ActionUpdate: "~", client.ActionDelete: "-"}
	counts := map[client.Action]int{}
	var b strings.Builder
	for _, ch := range result.Changes {
		counts[ch.Action]++
		sign, ok := signs[ch.Action]
		if !ok {
			continue
		}
		b.WriteString(a.actionColor(ch.Action, sign+" "+objectName(ch)))
		if ch.Source != "" {
			b.WriteString("  (" + ch.Source + ")")
		}
		b.WriteString("\n")
		for _, d := range ch.Diff {
			writeFieldDiff(&b, ch.Action, d)
		}
		writeNotes(&b, ch.Notes)
	}
	if b.Len() == 0 {
		b.WriteString("no changes\n")
	} else {
		fmt.Fprintf(&b, "%d to create, %d to update, %d to delete, %d unchanged\n",
			counts[client.ActionCreate], counts[client.ActionUpdate], counts[client.ActionDelete], counts[client.ActionUnchanged])
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

// writeFieldDiff shows one field; longer texts such as scripts line by line.
func writeFieldDiff(b *strings.Builder, action client.Action, d client.FieldDiff) {
	was, wasText := d.Old.(string)
	is, isText := d.New.(string)
	if wasText && isText && strings.Contains(was+is, "\n") {
		fmt.Fprintf(b, "    %s:\n", d.Path)
		text := string(diff.Diff("old", []byte(was), "new", []byte(is)))
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "diff ") || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ") {
				continue
			}
			b.WriteString("      " + printable(strings.TrimRight(line, "\n")) + "\n")
		}
		return
	}
	switch {
	case action == client.ActionCreate:
		fmt.Fprintf(b, "    %s: %s\n", d.Path, printable(short(d.New)))
	case action == client.ActionDelete:
		fmt.Fprintf(b, "    %s: %s\n", d.Path, printable(short(d.Old)))
	default:
		fmt.Fprintf(b, "    %s: %s → %s\n", d.Path, printable(short(d.Old)), printable(short(d.New)))
	}
}
