package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// value is a flag whose text is read by a parser of package fleet.
type value[T fmt.Stringer] struct {
	target *T
	parse  func(string) (T, error)
	kind   string
	zero   string // shown instead of the zero value
}

func (v value[T]) String() string {
	if v.target == nil {
		return ""
	}
	s := (*v.target).String()
	if s == v.zero {
		return ""
	}
	return s
}

func (v value[T]) Type() string { return v.kind }

func (v value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err != nil {
		return err
	}
	*v.target = parsed
	return nil
}

func durationValue(d *fleet.Duration) pflag.Value {
	return value[fleet.Duration]{d, fleet.ParseDuration, "duration", "0s"}
}

func coresValue(c *fleet.Cores) pflag.Value {
	return value[fleet.Cores]{c, fleet.ParseCores, "cores", "0"}
}

func memoryValue(m *fleet.Memory) pflag.Value {
	return value[fleet.Memory]{m, fleet.ParseMemory, "size", "0"}
}

// choice is a flag that takes one of a few words.
type choice struct {
	target *string
	words  []string
}

func (c choice) String() string {
	if c.target == nil {
		return ""
	}
	return *c.target
}

func (c choice) Type() string { return "string" }

func (c choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("use one of %s", strings.Join(c.words, ", "))
	}
	*c.target = s
	return nil
}

// choose adds a flag that takes one of a few words, with completion.
func choose(cmd *cobra.Command, target *string, name, short, def, usage string, words ...string) {
	*target = def
	cmd.Flags().VarP(choice{target, words}, name, short, usage+": "+strings.Join(words, "|"))
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// The output formats.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatName  = "name"
)

// outputFlag adds -o with the formats that the command can print.
func outputFlag(cmd *cobra.Command, target *string, formats ...string) {
	if len(formats) == 0 {
		formats = []string{formatTable, formatJSON, formatYAML}
	}
	choose(cmd, target, "output", "o", formats[0], "how to print the result", formats...)
}

// exactly checks the number of arguments and names the one that is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef("%s is missing: %s", names[len(args)], strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		if len(args) > len(names) {
			return usagef("%q is one argument too many: %s", args[len(names)], strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nonEmpty(args)
	}
}

// atLeast checks that one or more arguments follow.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s is missing: %s", name, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nonEmpty(args)
	}
}

func nonEmpty(args []string) error {
	if slices.Contains(args, "") {
		return usagef("an argument is empty: say which object is meant")
	}
	return nil
}
