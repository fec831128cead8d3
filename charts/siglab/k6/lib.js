// What the scenarios share: the SLO, one session a user, the requests, the data they make and its removal.
//
// Environment:
//   BASE_URL                                http://localhost:8000
//   SLO_LATENCY_SECONDS, SLO_LATENCY_OBJECTIVE, SLO_ERROR_RATIO, SLO_REQUESTS_PER_SECOND
//                                           the SLO; the chart fills them from its values, and there is no default
//   USERS                                   name:password[,name:password...]; or ADMIN_USERNAME and ADMIN_PASSWORD.
//                                           The first must be an admin: only an admin may remove machines.
//   RATE, DURATION, VUS, MIN_ITERATIONS     override the scenario's own
//   WITHOUT_RECORDS                         1 leaves out the calls of a working day that go to MongoDB, to see which store sets the knee
//   INSTANCES                               how many pods share one test (k6-operator); each sees its share alone
import http from 'k6/http';
import exec from 'k6/execution';
import { check, fail, sleep } from 'k6';

export const base = (__ENV.BASE_URL || 'http://localhost:8000').replace(/\/$/, '');

function number(name) {
  const value = Number(__ENV[name]);
  if (!(value > 0)) {
    throw new Error(`${name} must be a number above zero; the chart's ConfigMap "slo" has it`);
  }
  return value;
}

export const slo = {
  seconds: number('SLO_LATENCY_SECONDS'),
  objective: number('SLO_LATENCY_OBJECTIVE'),
  errors: number('SLO_ERROR_RATIO'),
  rate: number('SLO_REQUESTS_PER_SECOND'),
};

// seconds reads a duration as k6 writes it: 90s, 5m, 1h30m.
export function seconds(duration) {
  const units = { ms: 0.001, s: 1, m: 60, h: 3600 };
  let sum = 0;
  for (const [, n, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    sum += Number(n) * units[unit];
  }
  return sum;
}

export const rate = (fallback) => Number(__ENV.RATE) || Math.ceil(fallback - 1e-9);
export const duration = (fallback) => __ENV.DURATION || fallback;
export const vus = (fallback) => Number(__ENV.VUS) || fallback;
export const minIterations = (fallback) => Number(__ENV.MIN_ITERATIONS) || Math.floor(fallback / (Number(__ENV.INSTANCES) || 1));

// common holds the options of every scenario. Setup and teardown write data, so they may take their time.
export const common = {
  setupTimeout: '6m',
  teardownTimeout: '20m',
  // The summary shows what the SLO is about.
  summaryTrendStats: ['avg', 'med', 'p(90)', `p(${slo.objective})`, 'p(99)', 'max'],
  // One series a route: without this, Prometheus would get one a URL.
  systemTags: ['proto', 'status', 'method', 'name', 'scenario', 'expected_response', 'group', 'check', 'error_code'],
};

// thresholds are the SLO on one scenario's requests; setup and teardown do not count.
export function thresholds(scenario, iterations) {
  return {
    [`http_req_duration{scenario:${scenario}}`]: [`p(${slo.objective})<${slo.seconds * 1000}`],
    [`http_req_failed{scenario:${scenario}}`]: [`rate<${slo.errors}`],
    [`checks{scenario:${scenario}}`]: [`rate>${1 - slo.errors}`],
    // A test that hardly ran must not pass.
    [`iterations{scenario:${scenario}}`]: [`count>=${iterations}`],
  };
}

function accounts() {
  const list = (__ENV.USERS || `${__ENV.ADMIN_USERNAME || ''}:${__ENV.ADMIN_PASSWORD || ''}`)
    .split(',')
    .map((pair) => [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)]);
  if (!list.every(([name, password]) => name && password)) {
    throw new Error('USERS (name:password,...), or ADMIN_USERNAME and ADMIN_PASSWORD, must name who logs in');
  }
  return list;
}

// send makes one request that says that it is a test's. name is the route's template.
export function send(method, path, { token, body, name, headers } = {}) {
  const params = {
    headers: Object.assign({ 'X-Synthetic': '1', Accept: 'application/json' }, headers),
    tags: { name: `${method} ${name || path.split('?')[0]}` },
    timeout: '35s',
  };
  if (token) {
    params.headers.Authorization = `Bearer ${token}`;
  }
  if (body !== undefined) {
    params.headers['Content-Type'] = 'application/json';
  }
  return http.request(method, base + path, body === undefined ? null : JSON.stringify(body), params);
}

// must is for setup: what it makes is needed.
function must(res, status, what) {
  if (res.status !== status) {
    fail(`${what}: status ${res.status}, want ${status}: ${String(res.body).slice(0, 300)}`);
  }
  return res;
}

const today = () => new Date().toISOString().slice(0, 10);
const areas = ['Laboratorio 1', 'Laboratorio 2', 'Biblioteca', 'Dirección'];
const pick = (list) => list[Math.floor(Math.random() * list.length)];

export function machine(codigo) {
  return { codigo_equipo: codigo, tipo_equipo: Math.random() < 0.8 ? 'PC' : 'IMP', estado_actual: 'operativa', area: pick(areas), fecha: today() };
}

function maintenance(codigo) {
  return {
    codigo_maquina: codigo,
    empresa: 'Servicio técnico',
    tecnico: 'Prueba de carga',
    tipo: Math.random() < 0.7 ? 'preventivo' : 'correctivo',
    fecha: today(),
    observaciones: 'Registro de una prueba de carga; se elimina al terminar.',
  };
}

// setup waits for the service, logs each user in once, and makes the machines that the test will read and change. Nobody
// else's data is touched.
export function setup(seeds = 50) {
  // A Job starts together with the release that it tests.
  let health;
  for (let i = 0; i < 150; i++) {
    health = send('GET', '/api/sistema/health');
    if (health.status === 200) {
      break;
    }
    sleep(2);
  }
  must(health, 200, `${base} is not ready`);
  const tokens = accounts().map(([username, password]) =>
    must(send('POST', '/api/auth/login', { body: { username, password } }), 200, `login of ${username}`).json('token'));
  const run = `K6-${Date.now().toString(36)}${Math.floor(Math.random() * 1296).toString(36)}`.toUpperCase();
  const data = { tokens, run, codes: [] };
  for (let i = 0; i < seeds; i++) {
    const codigo = `${run}-S${i}`;
    must(send('POST', '/api/maquinas/agregar', { token: tokens[0], body: machine(codigo) }), 201, `adding ${codigo}`);
    for (let j = 0; j < 2; j++) {
      must(send('POST', '/api/mantenimientos/agregar', { token: tokens[0], body: maintenance(codigo) }), 201, `a mantenimiento of ${codigo}`);
    }
    data.codes.push(codigo);
  }
  return data;
}

// teardown removes every machine of this run, and with it its mantenimientos, and ends the sessions.
export function teardown(data) {
  const token = data.tokens[0];
  for (let round = 0; round < 100; round++) {
    const found = must(send('GET', `/api/maquinas/buscar?termino=${data.run}-&limite=1000`, { token }), 200, 'looking for what is left').json();
    if (found.length === 0) {
      break;
    }
    for (let i = 0; i < found.length; i += 20) {
      http.batch(found.slice(i, i + 20).map((m) => ({
        method: 'DELETE',
        url: `${base}/api/maquinas/eliminar/${m.codigo}`,
        params: { headers: { Authorization: `Bearer ${token}`, 'X-Synthetic': '1' }, tags: { name: 'DELETE /api/maquinas/eliminar/{codigo}' } },
      })));
    }
  }
  const left = send('GET', `/api/maquinas/buscar?termino=${data.run}-`, { token });
  data.tokens.forEach((t) => send('POST', '/api/auth/logout', { token: t }));
  must(left, 200, 'looking for what is left');
  if (left.json().length > 0) {
    fail(`${left.json().length} machines of ${data.run} could not be removed`);
  }
}

// etags is what a browser would have kept: one a virtual user.
const etags = {};

// The share of the calls that go to MongoDB: all, or none.
const records = __ENV.WITHOUT_RECORDS === '1' ? 0 : 1;

// The calls of a working day and how many of a hundred each is. A laboratory looks things up all day and changes few of them: four calls
// of a hundred write, which at the promised rate is still a new record every second.
const day = [
  [40, (t) => {
    // The page polls its list and mostly gets told that nothing is new.
    const path = '/api/maquinas/listar?limite=500';
    const res = send('GET', path, { token: t, headers: etags[path] && Math.random() < 0.5 ? { 'If-None-Match': etags[path] } : {} });
    if (res.headers.Etag) {
      etags[path] = res.headers.Etag;
    }
    return [res, 200, 304];
  }],
  [24, (t, d) => [send('GET', `/api/maquinas/buscar?codigo=${pick(d.codes)}`, { token: t }), 200]],
  [12, (t) => [send('GET', '/api/maquinas/dashboard', { token: t }), 200]],
  [7 * records, (t, d) => [send('GET', `/api/mantenimientos/historial/${pick(d.codes)}`, { token: t, name: '/api/mantenimientos/historial/{codigo}' }), 200]],
  [9, (t, d) => [send('GET', `/api/maquinas/buscar?termino=${d.run}-S1`, { token: t }), 200]],
  [3 * records, (t) => [send('GET', '/api/mantenimientos/todos?limite=50', { token: t }), 200]],
  [1 * records, (t, d) => [send('GET', `/api/mantenimientos/informe?codigo=${pick(d.codes)}`, { token: t }), 200]],
  [1.5 * records, (t, d) => [send('POST', '/api/mantenimientos/agregar', { token: t, body: maintenance(pick(d.codes)) }), 201]],
  [1, (t, d) => [send('POST', '/api/maquinas/agregar', { token: t, body: machine(newCode(d)) }), 201]],
  [1, (t, d) => [send('PUT', '/api/maquinas/actualizar', { token: t, body: Object.assign(machine(pick(d.codes)), { estado_actual: 'en mantenimiento' }) }), 200]],
  [0.5, (t, d) => {
    const codigo = newCode(d);
    const added = send('POST', '/api/maquinas/agregar', { token: d.tokens[0], body: machine(codigo) });
    if (added.status !== 201) {
      return [added, 201];
    }
    return [send('DELETE', `/api/maquinas/eliminar/${codigo}`, { token: d.tokens[0], name: '/api/maquinas/eliminar/{codigo}' }), 200];
  }],
];
const total = day.reduce((sum, [share]) => sum + share, 0);

export const newCode = (data) => `${data.run}-${exec.scenario.name}-${exec.scenario.iterationInTest}`.toUpperCase();

// aDay makes one call of a working day and returns its answer.
export function aDay(data) {
  let dice = Math.random() * total;
  const [, call] = day.find(([share]) => (dice -= share) < 0) || day[0];
  const [res, ...wanted] = call(pick(data.tokens), data);
  check(res, { 'answered as documented': (r) => wanted.includes(r.status) });
  return res;
}

// refused says whether an answer turns the caller away the way it should: early, and with a time to come back.
export const refused = (res) => (res.status === 503 || res.status === 429) && Number(res.headers['Retry-After']) > 0;
