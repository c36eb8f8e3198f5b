package settings

// Lookups lists the fields of a settings struct for which the provider can list
// choices, in the order of their definition: the values of their lookup tags,
// each once.
func Lookups(v any) []string {
	var names []string
	seen := map[string]bool{}
	fields := fieldsOf(structType(v))
	for i := range fields {
		if name := fields[i].tag.Get("lookup"); name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
