package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// inventoryOf is a service over so many machines.
type inventoryOf struct {
	size int
	p    *process
	deep string // path of page 1,000, or of the last one of a small inventory
	took [len(pageKinds)][]time.Duration
}

// The pages that are read. All come from the database: before each first page something is written, so that no cache has it.
var pageKinds = [...]struct{ name, path string }{
	{"first page", listarPath + "?limite=50"},
	{"page 1,000", ""},
	{"one area", listarPath + "?limite=50&area=" + url.QueryEscape("Laboratorio de Cómputo 7")},
	{"newest first", listarPath + "?limite=50&orden=fecha:desc"},
	{"since a day, by day", listarPath + "?limite=50&desde=2024-06-01&orden=fecha:asc"},
}

const pageSamples = 200

// pages reads pages of small and large inventories in turn.
func pages(w *world) error {
	var all []*inventoryOf
	defer func() {
		for _, inv := range all {
			inv.p.end()
		}
	}()
	for _, size := range w.sizes {
		d, err := w.fresh(fmt.Sprintf("pages_%d", size))
		if err != nil {
			return err
		}
		if err := d.fill(0, size); err != nil {
			return err
		}
		p, err := d.service(fmt.Sprint(size), "MYSQL_TIMEOUT=20s")
		if err != nil {
			return err
		}
		inv := &inventoryOf{size: size, p: p}
		all = append(all, inv)
		if err := inv.findDeep(w); err != nil {
			return err
		}
		for k := range pageKinds { // has each total counted, which may then be cached
			if _, err := inv.read(w, k); err != nil {
				return err
			}
		}
	}
	for n := range pageSamples {
		for _, inv := range all {
			for k := range pageKinds {
				if err := inv.touch(w, n); err != nil {
					return err
				}
				took, err := inv.read(w, k)
				if err != nil {
					return err
				}
				inv.took[k] = append(inv.took[k], took)
			}
		}
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "P50, P95 in ms\t")
	for _, kind := range pageKinds {
		fmt.Fprint(t, kind.name, "\t")
	}
	fmt.Fprintln(t)
	worst, of := 0.0, ""
	base := quantile(all[0].took[0], .5)
	for _, inv := range all {
		fmt.Fprintf(t, "%d machines\t", inv.size)
		for k, kind := range pageKinds {
			mid := quantile(inv.took[k], .5)
			ratio := mid.Seconds() / base.Seconds()
			fmt.Fprintf(t, "%.2f, %.2f (x%.2f)\t", mid.Seconds()*1e3, quantile(inv.took[k], .95).Seconds()*1e3, ratio)
			if ratio > worst {
				worst, of = ratio, fmt.Sprintf("%s of %d", kind.name, inv.size)
			}
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	sizes := fmt.Sprint(w.sizes)
	w.promise("`listar?limite=50` of "+strings.Trim(sizes, "[]")+" machines: first page, page 1,000, indexed filter and order", "P50 1.5 of the first at most", worst <= 1.5,
		"at most %.2f (%s)", worst, of)
	return nil
}

func quantile(all []time.Duration, q float64) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// touch writes a machine, so that no cached list is current.
func (inv *inventoryOf) touch(w *world, n int) error {
	body := fmt.Sprintf(`{"codigo_equipo": "%s", "usuario": "Persona %d"}`, nthMachine(n).Codigo, n)
	_, err := ask(w.ctx, inv.p, http.StatusOK, "PUT", "/api/maquinas/actualizar", strings.NewReader(body), true)
	return err
}

func (inv *inventoryOf) read(w *world, kind int) (time.Duration, error) {
	path := pageKinds[kind].path
	if path == "" {
		path = inv.deep
	}
	a, err := ask(w.ctx, inv.p, http.StatusOK, "GET", path, nil, true)
	if err == nil && len(a.body) < 1000 {
		err = errors.New("a page is too short: " + string(a.body))
	}
	return a.took, err
}

// findDeep follows the links to the page that begins after 999 pages of 50 machines, in larger steps.
func (inv *inventoryOf) findDeep(w *world) error {
	before := min(999*50, inv.size-50)
	cursor := ""
	for before > 0 {
		step := min(before, 1000)
		a, err := ask(w.ctx, inv.p, http.StatusOK, "GET", fmt.Sprintf("%s?limite=%d%s", listarPath, step, cursor), nil, false)
		if err != nil {
			return err
		}
		link, _, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		u, err := url.Parse(link)
		if err != nil || u.Query().Get("cursor") == "" {
			return fmt.Errorf("no next page in %q", link)
		}
		cursor = "&cursor=" + url.QueryEscape(u.Query().Get("cursor"))
		before -= step
	}
	inv.deep = listarPath + "?limite=50" + cursor
	return nil
}
