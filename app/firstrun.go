package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"

	"go.uber.org/zap"
)

// ensureAdmin makes the first account when there is none: the configured one or, with DATA_DIR and nothing configured, one with a
// random password, which is shown once.
func (s *services) ensureAdmin(ctx context.Context, o Options, log *zap.Logger) error {
	c := o.Config
	username, password := c.AdminUsername, string(c.AdminPassword)
	random := username == "" && c.DataDir != ""
	if random {
		username, password = "admin", rand.Text()
	}
	if username == "" {
		return nil
	}
	made, err := s.usuarios.EnsureAdmin(ctx, username, password)
	if err != nil || !made {
		return err
	}
	log.Info("the first account was made", zap.String("username", username))
	if random {
		welcome(o, password)
	}
	return nil
}

// welcome tells the person who started the first run how to come in.
func welcome(o Options, password string) {
	base := "http://" + net.JoinHostPort("localhost", strconv.Itoa(o.Config.Port))
	fmt.Fprintf(o.Stderr, `
  SIGLAB is at %[1]s/docs

    user      admin
    password  %[2]s        (shown this once; it is kept only as a hash)

  Try it:

    curl -c siglab.cookie %[1]s/api/auth/login -H 'Content-Type: application/json' -d '{"username":"admin","password":"%[2]s"}'
    curl -b siglab.cookie %[1]s/api/maquinas/agregar -H 'Content-Type: application/json' -d '{"codigo_equipo":"PC-001","tipo_equipo":"PC","estado_actual":"operativa","area":"Biblioteca Central","fecha":"2026-03-02"}'
    curl -b siglab.cookie %[1]s/api/maquinas/dashboard

`, base, password)
}
