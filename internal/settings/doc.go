// Package settings derives everything from one definition: a Go struct with
// tags. The settings of each kind of provider and the spec of each kind of
// object are such structs. From them come the JSON Schema that the API
// publishes and forms are rendered from ([Schema], [Registry]), strict decoding
// that reports every mistake at once ([DecodeYAML], [DecodeJSON], [DecodeMap]),
// defaults ([ApplyDefaults]), the separation of secrets from what may be shown
// ([SplitSecrets], [MergeSecrets]) and the tables of the documentation
// ([Markdown]).
//
// # Tags
//
//	json:"name,omitempty"   name of the field; without omitempty it is required
//	required:"true|false"   overrides that
//	doc:"…"                 one or two sentences for people
//	title:"…"               label in forms
//	example:"…"             a value that makes sense
//	default:"…"             used where the field is absent or zero
//	enum:"a,b"              the values that are allowed; of a list: its entries
//	minimum, maximum        inclusive bounds of a number; text such as "1m" for
//	                        types that are written as text
//	minLength, maxLength    of text, in characters
//	pattern, patternDescription
//	minItems, maxItems, uniqueItems of a list
//	nullable:"true"         null is allowed and means absent
//	secret:"true"           text that is encrypted, never shown and never quoted
//	                        in an error
//	when:"field=a|b"        the field may be given, and required means required,
//	                        only while its neighbour has one of the values
//	lookup:"region"         the provider can list the choices: it is asked for them
//	                        by this name, the field's own
//	group:"Network"         section of the form
//	immutable:"true"        cannot be changed after creation; see [CheckImmutable]
//	access:"true"           says who asks and by which way, never what a machine is
//	                        or where: see [Access]; a secret is that by itself
//	advanced:"true"         hidden in forms until asked for
//	multiline:"true"        text of several lines
//
// A struct may have rules across its fields: see [Validator]. [CheckDefinition]
// finds mistakes in the tags themselves and belongs into a test of every
// struct.
package settings
