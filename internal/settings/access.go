package settings

// Access names the fields of a settings struct that are access alone: who asks
// and by which way, as a user's name or whom the connection trusts. They never
// say what is made nor where it is, so that what was made before they were
// changed is as good as what is made after. Secrets are not among them: they are
// no part of what is compared.
func Access(v any) []string {
	var names []string
	fields := fieldsOf(structType(v))
	for i := range fields {
		if f := &fields[i]; f.access {
			names = append(names, f.name)
		}
	}
	return names
}
