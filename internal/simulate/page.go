package simulate

import (
	"html/template"
	"io"
	"strings"
)

// page is a report that needs nothing from outside of its file.
const page = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Policy back-test: {{.Demand}}</title>
<style>
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;background:#fff;color:#1c2430}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .9rem .25rem 0;text-align:right;border-bottom:1px solid #dfe3e8;font-variant-numeric:tabular-nums}
th:first-child{text-align:left;font-weight:400}thead th{font-weight:600}tbody th.sub{padding-left:1rem}
svg{max-width:100%;height:auto}
@media (prefers-color-scheme:dark){body{background:#161b22;color:#e6eaf0}th,td{border-color:#323b47}}
</style></head><body>
<h1>Policy back-test</h1>
<p>{{.About}}</p>
<table><thead><tr><th>Policy</th>{{range .Names}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr><th scope="row"{{if .Sub}} class="sub"{{end}}>{{.Title}}</th>{{range .Cells}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table>
{{.Chart}}
<h2>Assumed</h2>
<ul>{{range .Assumed}}<li>{{.}}</li>{{end}}</ul>
{{if .Notes}}<h2>Notes</h2><ul>{{range .Notes}}<li>{{.}}</li>{{end}}</ul>{{end}}
</body></html>
`

type pageRow struct {
	Title string
	Sub   bool
	Cells []string
}

// WriteHTML writes the report with its chart as one file.
func (r *Report) WriteHTML(to io.Writer) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return err
	}
	var names, notes []string
	for _, one := range r.Results {
		names = append(names, one.Policy)
		for _, n := range one.Notes {
			notes = append(notes, one.Policy+": "+n)
		}
	}
	titles, values := r.rows()
	rows := make([]pageRow, 0, len(titles))
	for i, title := range titles {
		rows = append(rows, pageRow{strings.TrimSpace(title), strings.HasPrefix(title, " "), values[i]})
	}
	return t.Execute(to, map[string]any{
		"Demand": r.Demand, "About": r.about(), "Names": names, "Rows": rows, "Assumed": r.assumptions(), "Notes": notes,
		"Chart": template.HTML(r.svg()), //nolint:gosec // our own drawing, with escaped texts
	})
}
