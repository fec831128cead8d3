package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Smoke does a technician's day against the service at base, as the account in ADMIN_USERNAME and ADMIN_PASSWORD: logs in, adds a machine,
// records maintenance, reads both back, removes the machine and logs out. What it adds it removes, also when a step fails.
func Smoke(ctx context.Context, base string, out io.Writer) (err error) {
	password, err := secretFromEnv("ADMIN_PASSWORD")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s := smoke{base: strings.TrimRight(base, "/"), out: out}
	codigo := "SMOKE-" + rand.Text()[:10]

	var session struct{ Token string }
	login := map[string]string{"username": os.Getenv("ADMIN_USERNAME"), "password": password}
	if err := s.call(ctx, http.MethodPost, "/api/auth/login", login, http.StatusOK, &session); err != nil {
		return err
	}
	s.token = session.Token
	day := time.Now().Format(time.DateOnly)
	machine := map[string]string{"codigo_equipo": codigo, "tipo_equipo": "PC", "estado_actual": "operativa", "area": "Prueba", "fecha": day}
	if err := s.call(ctx, http.MethodPost, "/api/maquinas/agregar", machine, http.StatusCreated, nil); err != nil {
		return err
	}
	defer func() {
		remove := s.call(context.WithoutCancel(ctx), http.MethodDelete, "/api/maquinas/eliminar/"+codigo, nil, http.StatusOK, nil)
		logout := s.call(context.WithoutCancel(ctx), http.MethodPost, "/api/auth/logout", nil, http.StatusOK, nil)
		err = errors.Join(err, remove, logout)
	}()
	record := map[string]string{
		"codigo_maquina": codigo, "empresa": "SIGLAB", "tecnico": "smoke", "tipo": "preventivo", "fecha": day, "observaciones": "Prueba de la instalación.",
	}
	if err := s.call(ctx, http.MethodPost, "/api/mantenimientos/agregar", record, http.StatusCreated, nil); err != nil {
		return err
	}
	var found struct{ Codigo string }
	if err := s.call(ctx, http.MethodGet, "/api/maquinas/buscar?codigo="+url.QueryEscape(codigo), nil, http.StatusOK, &found); err != nil {
		return err
	}
	var history []struct {
		CodigoMaquina string `json:"codigo_maquina"`
	}
	if err := s.call(ctx, http.MethodGet, "/api/mantenimientos/historial/"+codigo, nil, http.StatusOK, &history); err != nil {
		return err
	}
	if found.Codigo != codigo || len(history) != 1 || history[0].CodigoMaquina != codigo {
		return fmt.Errorf("read back machine %q with %d records, want %q with 1", found.Codigo, len(history), codigo)
	}
	return nil
}

type smoke struct {
	base, token string
	out         io.Writer
}

// call sends one request, wants one status, and decodes the answer into v unless that is nil.
func (s *smoke) call(ctx context.Context, method, path string, body any, want int, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, send)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Synthetic", "1") // a probe's requests stay out of what users are promised
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%-6s %-50s %d  server %s\n", method, path, res.StatusCode, res.Header.Get("X-Server-ID"))
	if res.StatusCode != want {
		return fmt.Errorf("%s %s answers %d, want %d: %s", method, path, res.StatusCode, want, answer)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer, v)
}
