package fakenutanixv4

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

type object = map[string]any

// typedAs puts the type of the API into an object.
func typedAs(name string, o object) object {
	o["$objectType"] = name
	o["$reserved"] = object{"$fv": "v4.r0"}
	return o
}

// answer is what an operation answers with one object.
func answer(o operation, status int, etag string, data object) reply {
	body := typedAs(strings.ReplaceAll(o.answer, "/", "."), object{
		"data":     data,
		"metadata": typedAs("common.v1.response.ApiResponseMetadata", object{"flags": []any{}}),
	})
	if name, ok := data["$objectType"].(string); ok {
		body["$dataItemDiscriminator"] = name
	}
	return reply{status, etag, body}
}

// failure is an answer of the API that refuses something.
func failure(o operation, status int, group, message string) reply {
	_, path, _ := strings.Cut(o.name, " ")
	namespace, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	prefix := namespace + ".v4.error."
	a := answer(o, status, "", typedAs(prefix+"ErrorResponse", object{
		"$errorItemDiscriminator": "List<" + prefix + "AppMessage>",
		"error": []any{typedAs(prefix+"AppMessage", object{
			"message": message, "severity": "ERROR", "code": strings.ToUpper(namespace) + "-10000", "errorGroup": group, "locale": "en-US",
		})},
	}))
	delete(a.body, "metadata")
	return a
}

func notFound(o operation, what string) reply {
	return failure(o, http.StatusNotFound, "ENTITY_NOT_FOUND", what+" does not exist")
}

func invalid(o operation, text string) reply {
	return failure(o, http.StatusBadRequest, "INVALID_ARGUMENT", text)
}

// mismatch refuses a change that does not say which version of the object it
// changes, or another than there is.
func mismatch(o operation, r *http.Request, etag string) (reply, bool) {
	switch r.Header.Get("If-Match") {
	case "":
		return failure(o, http.StatusPreconditionRequired, "MISSING_ETAG_HEADER", "If-Match is missing"), true
	case etag:
		return reply{}, false
	}
	return failure(o, http.StatusPreconditionFailed, "INVALID_ETAG_HEADER", "If-Match value passed does not match the current value on the server"), true
}

// task answers with the task that carries an operation out after a while.
// Entities are those that it names; do is what it does, unless it fails.
func (s *Server) accept(o operation, after time.Duration, entities []object, do func()) reply {
	t := &task{id: "ZXJnb24=:" + s.newID(), status: "QUEUED", entities: entities}
	s.tasks[t.id] = t
	f, fails := take(s.fail, o.name)
	s.later(after, func() {
		if fails {
			t.status, t.group, t.message = "FAILED", f.group, f.message
			return
		}
		t.status = "SUCCEEDED"
		do()
	})
	return answer(o, http.StatusAccepted, "", typedAs("prism.v4.config.TaskReference", object{"extId": t.id}))
}

// page cuts a page out of a listing. An empty page has no data, as in reality.
func (s *Server) page(o operation, r *http.Request, kind string, all []object) reply {
	q := r.URL.Query()
	all, err := filtered(all, q)
	if err != "" {
		return invalid(o, err)
	}
	number, _ := strconv.Atoi(q.Get("$page")) // 0 when it is not given
	length := s.options.PageLength
	if limit, err := strconv.Atoi(q.Get("$limit")); err == nil {
		if limit < 1 || limit > 100 {
			return invalid(o, "$limit must be from 1 to 100")
		}
		length = min(length, limit)
	}
	from := min(number*length, len(all))
	shown := all[from:min(from+length, len(all))]
	body := typedAs(strings.ReplaceAll(o.answer, "/", "."), object{
		"metadata": typedAs("common.v1.response.ApiResponseMetadata", object{
			"totalAvailableResults": len(all),
			"flags":                 []any{typedAs("common.v1.config.Flag", object{"name": "isPaginated", "value": true})},
		}),
	})
	if len(shown) > 0 {
		body["data"], body["$dataItemDiscriminator"] = shown, "List<"+kind+">"
	}
	return reply{http.StatusOK, "", body}
}

var (
	equals     = regexp.MustCompile(`^([A-Za-z]+) eq '((?:[^']|'')*)'$`)
	startsWith = regexp.MustCompile(`^startswith\(([A-Za-z]+),'((?:[^']|'')*)'\)$`)
)

// filtered understands the two filters that the driver uses, joined by "and".
func filtered(all []object, q url.Values) (out []object, fault string) {
	out = all
	if q.Get("$filter") == "" {
		return out, ""
	}
	for _, term := range strings.Split(q.Get("$filter"), " and ") {
		var match func(text, value string) bool
		parts := equals.FindStringSubmatch(term)
		if match = func(text, value string) bool { return text == value }; parts == nil {
			parts, match = startsWith.FindStringSubmatch(term), strings.HasPrefix
		}
		if parts == nil {
			return nil, "$filter cannot be read: " + term
		}
		value := strings.ReplaceAll(parts[2], "''", "'")
		var kept []object
		for _, o := range out {
			if text, ok := o[parts[1]].(string); ok && match(text, value) {
				kept = append(kept, o)
			}
		}
		out = kept
	}
	return out, ""
}
