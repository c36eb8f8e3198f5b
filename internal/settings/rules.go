package settings

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// checkRules checks a decoded scalar against the tags of its field and answers
// what is wrong, naming the rule. Tags that cannot be read are ignored here;
// CheckDefinition finds them.
func checkRules(v reflect.Value, f *field) string {
	if values := f.enum(); len(values) > 0 && !ownText(v.Type()) {
		have := fmt.Sprint(v.Interface())
		if !slices.Contains(values, have) {
			message := " is not one of its values: "
			if near := Nearest(have, values); near != "" && len(values) > 3 {
				message = " is not one of its values (did you mean " + near + "?): "
			}
			return f.show(v) + message + "write " + orList(values)
		}
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		return checkText(v.String(), f)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return checkRange(v, f)
	}
	return ""
}

func checkText(s string, f *field) string {
	if s == "" && f.secret {
		return "" // clears the stored one
	}
	length := utf8.RuneCountInString(s)
	if least, ok := f.tagInt("minLength"); ok && length < least {
		return fmt.Sprintf("has %s: give at least %d", countOf(length, "character"), least)
	}
	if most, ok := f.tagInt("maxLength"); ok && length > most {
		return fmt.Sprintf("has %d characters: give at most %d", length, most)
	}
	pattern := f.tag.Get("pattern")
	if pattern == "" {
		return ""
	}
	rule, err := regexp.Compile(pattern)
	if err != nil || rule.MatchString(s) {
		return ""
	}
	what := "the pattern " + pattern
	if about := f.tag.Get("patternDescription"); about != "" {
		what = about
	}
	if f.secret {
		return "does not match what is expected: use " + what
	}
	return quote(s) + " does not match what is expected: use " + what + hint(f)
}

func checkRange(v reflect.Value, f *field) string {
	low, hasLow := bound(f, "minimum", v.Type())
	high, hasHigh := bound(f, "maximum", v.Type())
	x := asFloat(v)
	if !(hasLow && x < asFloat(low)) && !(hasHigh && x > asFloat(high)) {
		return ""
	}
	what := "a number"
	if v.Kind() != reflect.Float64 && v.Kind() != reflect.Float32 {
		what = "a whole number"
	}
	if ownText(v.Type()) {
		what = "a value"
	}
	text := f.show(v) + " is out of range: write " + what
	switch {
	case hasLow && hasHigh:
		return text + fmt.Sprintf(" from %s to %s", f.tag.Get("minimum"), f.tag.Get("maximum"))
	case hasLow:
		return text + " of at least " + f.tag.Get("minimum")
	}
	return text + " of at most " + f.tag.Get("maximum")
}

// bound reads a bound in the way in which the type is written.
func bound(f *field, key string, t reflect.Type) (reflect.Value, bool) {
	text := f.tag.Get(key)
	if text == "" {
		return reflect.Value{}, false
	}
	if ownText(t) {
		v, err := parseTag(t, text)
		return v, err == nil
	}
	x, err := strconv.ParseFloat(text, 64)
	return reflect.ValueOf(x), err == nil
}

func asFloat(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

// show is a decoded value in an error, hidden if it is a secret.
func (f *field) show(v reflect.Value) string {
	if f.secret {
		return "the value"
	}
	if v.Kind() == reflect.String {
		return quote(v.String())
	}
	return fmt.Sprint(v.Interface())
}
