package cli_test

import "testing"

// TestCost shows sums of each currency, a price of the operator's own, and what
// has no price.
func TestCost(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	own := object{"part": "machine", "name": "small", "quantity": 1, "price": 0.25, "per": "hour", "per_hour": 0.25, "currency": "EUR", "origin": "vm_provider"}
	listed := object{"part": "machine", "name": "m1", "quantity": 1, "price": 0.1, "per": "hour", "per_hour": 0.1, "currency": "USD", "origin": "list", "date": "2026-01-19", "source": "https://cloud.example/prices"}
	disk := object{"part": "disk", "name": "fast", "quantity": 100}
	bill := func(n, unknown int, amounts ...object) object {
		return object{"machines": n, "unknown": unknown, "amounts": append([]object{}, amounts...)}
	}
	eur := object{"currency": "EUR", "per_hour": 0.5, "per_30_days": 360}
	usd := object{"currency": "USD", "per_hour": 0.3, "per_30_days": 216}
	a.on("GET costs", 200, object{
		"at": noon, "total": bill(6, 4, eur, usd),
		"machines": []object{
			{"pool": "desktops", "autoscale_config": "day", "vm_provider": "own", "offer": "small", "price": object{"per_hour": 0.25, "currency": "EUR", "lines": []object{own}}, "cost": bill(2, 0, eur), "staying": 2},
			{"pool": "desktops", "autoscale_config": "day", "vm_provider": "listed", "offer": "m1@north-a", "price": object{"per_hour": 0.1, "currency": "USD", "lines": []object{listed, disk}, "missing": []string{"disk fast in north"}}, "cost": bill(3, 3, usd), "staying": 2},
			{"pool": "desktops", "autoscale_config": "day", "vm_provider": "free", "price": object{"lines": []object{}, "missing": []string{"machine"}}, "cost": bill(1, 1), "staying": 1},
			{"pool": "desktops", "autoscale_config": "day", "vm_provider": "planned", "price": object{"lines": []object{}}, "cost": bill(0, 0), "staying": 1},
		},
	})
	golden(t, "cost", a.run("cost", "--pool", "desktops"))
	if got := a.seen()[0]; got != "GET /api/v1/costs?pool=desktops" {
		t.Error(got)
	}
	a.on("GET costs", 200, object{"at": noon, "total": bill(0, 0), "machines": []object{}})
	golden(t, "cost-none", a.run("cost"))
	a.on("POST vm-providers/listed/price", 200, object{"items": []object{
		{"offer": "m1@north-a", "price": object{"per_hour": 0.1, "currency": "USD", "lines": []object{listed, disk}, "missing": []string{"disk fast in north"}}},
		{"offer": "m9@north-a", "price": object{"lines": []object{{"part": "machine", "name": "m9", "quantity": 1}}, "missing": []string{"machine m9 in north"}}},
	}})
	golden(t, "provider-price", a.run("provider", "price", "listed"))
}
