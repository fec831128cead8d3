package api

import (
	"context"

	"siglab/app/clave"
	"siglab/app/maquinas"
)

// nearMachines bounds the machines that are kept encoded; each is a few hundred bytes.
const nearMachines = 8192

// one is an encoded machine as it is answered.
type one struct {
	maquinas.Ficha
	body []byte
	etag []string
}

func newOne(f maquinas.Ficha) *one {
	return &one{Ficha: f, body: encode(maquinaOf(f.Maquina)), etag: []string{f.ETag()}}
}

// one returns the machine of a code if this process has it and the generation says that it is current, else nil. It is the fast path of
// buscar?codigo=: nothing is decoded or encoded, which is a third of the handler's time, and requests at the same time share the look at the
// generation. A machine that was written since, as far as this process has seen, is not asked for. TestNearMachineAnswersTheSame holds it
// against the plain path.
func (n *near) one(ctx context.Context, codigo string) *one {
	o, ok := n.machines.Get(clave.Of(codigo))
	if !ok || n.now().Sub(o.At) > n.ttl || n.service.Cache.Seen(maquinas.Space) != o.Gen {
		return nil
	}
	if gen, err := n.service.Cache.Generation(ctx, maquinas.Space); err != nil || gen != o.Gen {
		return nil
	}
	n.metrics.CacheRequest("maquina", "near")
	return o
}

// putOne keeps a machine that was asked for.
func (n *near) putOne(codigo string, o *one) {
	if o.Gen != "" {
		n.machines.Add(clave.Of(codigo), o)
	}
}
