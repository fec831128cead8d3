package storetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"siglab/app/errs"
	"siglab/app/usuarios"
)

// Usuarios checks a usuarios.Store. open returns a new and empty one each time, which is gone when the test ends.
func Usuarios(t *testing.T, open func(t *testing.T) usuarios.Store) {
	for name, test := range map[string]func(*testing.T, usuarios.Store){
		"accounts":                  usuariosAccounts,
		"names are folded":          usuariosFolding,
		"odd bytes":                 usuariosOddBytes,
		"the first account":         usuariosFirst,
		"the first account at once": usuariosFirstAtOnce,
		"hashes":                    usuariosHash,
		"revocations":               usuariosRevocations,
		"revocations are forgotten": usuariosForget,
		"ended context":             usuariosEnded,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func account(username string) usuarios.Usuario {
	return usuarios.Usuario{NombreCompleto: "Ana Ruiz", Username: username, Rol: usuarios.Comun}
}

// hash has the length and the letters of a bcrypt hash; no store looks into it.
func hash(c byte) []byte { return append([]byte("$2a$12$"), bytes.Repeat([]byte{c}, 53)...) }

func usuariosAccounts(t *testing.T, s usuarios.Store) {
	_, _, err := s.ByUsername(t.Context(), "ana")
	wantKind(t, "ByUsername in an empty store", err, errs.NotFound)
	var want []usuarios.Usuario
	for i, text := range texts {
		want = append(want, usuarios.Usuario{NombreCompleto: text, Username: text + fmt.Sprint(i), Rol: usuarios.Admin})
	}
	want = append(want, usuarios.Usuario{NombreCompleto: long("𝔘", usuarios.MaxNombreCompleto), Username: long("日", usuarios.MaxUsername), Rol: usuarios.Comun})
	for i, u := range want {
		must(t, "Insert", s.Insert(t.Context(), u, hash(byte('A'+i))))
	}
	for i, u := range want {
		got, h, err := s.ByUsername(t.Context(), u.Username)
		if err != nil || got != u || !bytes.Equal(h, hash(byte('A'+i))) {
			t.Errorf("ByUsername(%q): got %+v, %s, %v; want %+v", u.Username, got, h, err, u)
		}
	}
	for _, name := range []string{"", "%", "' OR '1'='1", "*", "ana"} {
		_, _, err := s.ByUsername(t.Context(), name)
		wantKind(t, "ByUsername "+name, err, errs.NotFound)
	}
}

func usuariosFolding(t *testing.T, s usuarios.Store) {
	must(t, "Insert", s.Insert(t.Context(), account("Núñez"), hash('a')))
	for _, same := range []string{"Núñez", "núñez", "NÚÑEZ", "Nu\u0301n\u0303ez"} {
		got, _, err := s.ByUsername(t.Context(), same)
		if err != nil || got != account("Núñez") {
			t.Errorf("ByUsername(%q): got %+v, %v", same, got, err)
		}
		wantKind(t, "Insert "+same, s.Insert(t.Context(), account(same), hash('b')), errs.Conflict)
	}
	for _, other := range []string{"Nunez", "Núnez", "Núñez ", "Núñe"} {
		_, _, err := s.ByUsername(t.Context(), other)
		wantKind(t, "ByUsername "+other, err, errs.NotFound)
	}
	must(t, "Insert of another name", s.Insert(t.Context(), account("Nunez"), hash('c')))
	var done atomic.Int64
	together(8, func(i int) {
		switch err := s.Insert(context.WithoutCancel(t.Context()), account([]string{"Luz", "LUZ", "luz", "lUz"}[i%4]), hash('d')); {
		case err == nil:
			done.Add(1)
		case errs.KindOf(err) != errs.Conflict:
			t.Errorf("Insert: %v", err)
		}
	})
	if done.Load() != 1 {
		t.Errorf("%d calls added one account", done.Load())
	}
}

func usuariosOddBytes(t *testing.T, s usuarios.Store) {
	must(t, "Insert", s.Insert(t.Context(), account("ana"), hash('a')))
	for _, odd := range []string{"\x00", "ana\x00", "\xff", "ana\xff", "\xed\xa0\x80", "\xc3", long("a", 100_000)} {
		_, _, err := s.ByUsername(t.Context(), odd)
		wantKind(t, fmt.Sprintf("ByUsername %.20q", odd), err, errs.NotFound)
	}
}

func usuariosFirst(t *testing.T, s usuarios.Store) {
	first, err := s.InsertFirst(t.Context(), account("ana"), hash('a'))
	if err != nil || !first {
		t.Errorf("InsertFirst in an empty store: got %v, %v; want true", first, err)
	}
	for _, name := range []string{"ana", "ANA", "luz"} {
		first, err = s.InsertFirst(t.Context(), account(name), hash('b'))
		if err != nil || first {
			t.Errorf("InsertFirst of %q again: got %v, %v; want false", name, first, err)
		}
	}
	if _, h, err := s.ByUsername(t.Context(), "ana"); err != nil || !bytes.Equal(h, hash('a')) {
		t.Errorf("the first account's hash: got %s, %v", h, err)
	}
	_, _, err = s.ByUsername(t.Context(), "luz")
	wantKind(t, "an account that was not the first", err, errs.NotFound)
	must(t, "Insert", s.Insert(t.Context(), account("luz"), hash('b')))
}

func usuariosFirstAtOnce(t *testing.T, s usuarios.Store) {
	var done atomic.Int64
	together(8, func(i int) {
		first, err := s.InsertFirst(context.WithoutCancel(t.Context()), account(fmt.Sprint("admin", i)), hash('a'))
		if err != nil {
			t.Errorf("InsertFirst: %v", err)
		}
		if first {
			done.Add(1)
		}
	})
	there := 0
	for i := range 8 {
		if _, _, err := s.ByUsername(t.Context(), fmt.Sprint("admin", i)); err == nil {
			there++
		}
	}
	if done.Load() != 1 || there != 1 {
		t.Errorf("%d calls were the first and %d accounts are there, want 1", done.Load(), there)
	}
}

func usuariosHash(t *testing.T, s usuarios.Store) {
	must(t, "Insert", s.Insert(t.Context(), account("Ana"), hash('a')))
	must(t, "Insert", s.Insert(t.Context(), account("Luz"), hash('a')))
	check := func(username string, want []byte) {
		t.Helper()
		if _, got, err := s.ByUsername(t.Context(), username); err != nil || !bytes.Equal(got, want) {
			t.Errorf("hash of %s: got %s, %v; want %s", username, got, err, want)
		}
	}
	must(t, "ReplaceHash", s.ReplaceHash(t.Context(), "ANA", hash('a'), hash('b')))
	check("ana", hash('b'))
	check("luz", hash('a'))
	must(t, "ReplaceHash of one that was replaced", s.ReplaceHash(t.Context(), "ana", hash('a'), hash('c')))
	check("ana", hash('b'))
	must(t, "ReplaceHash of nobody", s.ReplaceHash(t.Context(), "nadie", hash('a'), hash('c')))
}

// revocations returns what a store knows, by session, and the reading of its clock.
func revocations(t *testing.T, s usuarios.Store, since time.Time) (map[string]int64, time.Time) {
	t.Helper()
	list, at, err := s.Revocations(t.Context(), since)
	must(t, "Revocations", err)
	got := map[string]int64{}
	for _, r := range list {
		if _, twice := got[r.Session]; twice {
			t.Errorf("session %s is there twice", r.Session)
		}
		got[r.Session] = r.Expires.UnixMilli()
	}
	return got, at
}

func usuariosRevocations(t *testing.T, s usuarios.Store) {
	got, before := revocations(t, s, time.Time{})
	if len(got) != 0 {
		t.Errorf("a new store holds %v", got)
	}
	if d := time.Since(before).Abs(); d > time.Minute {
		t.Errorf("the store's clock differs by %v", d)
	}
	expires := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
	want := map[string]int64{}
	for i := range 5 {
		r := usuarios.Revocation{Session: fmt.Sprint("sesión-", i), Expires: expires.Add(time.Duration(i) * time.Millisecond)}
		must(t, "Revoke", s.Revoke(t.Context(), r))
		must(t, "Revoke again", s.Revoke(t.Context(), r))
		want[r.Session] = r.Expires.UnixMilli()
	}
	for _, since := range []time.Time{{}, before, before.Add(-time.Hour)} {
		if got, _ := revocations(t, s, since); !maps.Equal(got, want) {
			t.Errorf("Revocations since %v: got %v, want %v", since, got, want)
		}
	}
	// From each reading on, nothing that is committed later is missed.
	_, at := revocations(t, s, time.Time{})
	if at.Before(before) {
		t.Errorf("the store's clock went from %v to %v", before, at)
	}
	for i := range 20 {
		session := fmt.Sprint("otra-", i)
		must(t, "Revoke", s.Revoke(t.Context(), usuarios.Revocation{Session: session, Expires: expires}))
		var got map[string]int64
		if got, at = revocations(t, s, at); got[session] != expires.UnixMilli() {
			t.Errorf("Revocations missed the one that was committed just before")
		}
	}
	if got, _ := revocations(t, s, at.Add(time.Hour)); len(got) != 0 {
		t.Errorf("Revocations since an hour ahead: got %d", len(got))
	}
	together(6, func(int) {
		if err := s.Revoke(context.WithoutCancel(t.Context()), usuarios.Revocation{Session: "una", Expires: expires}); err != nil {
			t.Errorf("Revoke at the same time: %v", err)
		}
	})
}

func usuariosForget(t *testing.T, s usuarios.Store) {
	now := time.UnixMilli(time.Now().UnixMilli())
	for i, d := range []time.Duration{-time.Hour, 0, time.Millisecond, time.Hour} {
		must(t, "Revoke", s.Revoke(t.Context(), usuarios.Revocation{Session: fmt.Sprint(i), Expires: now.Add(d)}))
	}
	for range 2 {
		must(t, "ForgetRevocations", s.ForgetRevocations(t.Context(), now))
		want := map[string]int64{"2": now.UnixMilli() + 1, "3": now.Add(time.Hour).UnixMilli()}
		if got, _ := revocations(t, s, time.Time{}); !maps.Equal(got, want) {
			t.Errorf("after ForgetRevocations: got %v, want %v", got, want)
		}
	}
}

func usuariosEnded(t *testing.T, s usuarios.Store) {
	ctx := ended(t)
	if err := s.Insert(ctx, account("ana"), hash('a')); err == nil {
		t.Error("Insert with an ended context succeeded")
	}
	if _, _, err := s.ByUsername(ctx, "ana"); err == nil || errs.KindOf(err) == errs.NotFound {
		t.Errorf("ByUsername with an ended context: got %v", err)
	}
	if err := s.Revoke(ctx, usuarios.Revocation{Session: "x", Expires: time.Now().Add(time.Hour)}); err == nil {
		t.Error("Revoke with an ended context succeeded")
	}
	_, _, err := s.ByUsername(t.Context(), "ana")
	wantKind(t, "an account that was given up", err, errs.NotFound)
}
