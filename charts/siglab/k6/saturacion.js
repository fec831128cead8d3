// saturacion: as many machines as the service can add, each user sending the next as soon as the last is answered. Being turned
// away is allowed, as long as it is done politely; an addition that fails in any other way is not.
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';
import { common, duration, machine, minIterations, newCode, refused, seconds, send, setup as prepare, slo, teardown as clean, vus } from './lib.js';

const time = duration('2m');
const added = new Counter('siglab_machines_added');

export const options = Object.assign({}, common, {
  scenarios: { saturacion: { executor: 'constant-vus', vus: vus(20), duration: time, gracefulStop: '35s' } },
  thresholds: {
    'http_req_duration{scenario:saturacion,expected_response:true}': [`p(${slo.objective})<${slo.seconds * 1000}`],
    'checks{scenario:saturacion}': [`rate>${1 - slo.errors}`],
    // Half the promised rate, though every request is a write.
    siglab_machines_added: [`count>=${minIterations(slo.rate * seconds(time) * 0.5)}`],
  },
});

export const setup = () => prepare(0);
export const teardown = clean;

export default function (data) {
  const res = send('POST', '/api/maquinas/agregar', { token: data.tokens[0], body: machine(newCode(data)) });
  check(res, { 'added, or politely refused': (r) => r.status === 201 || refused(r) });
  if (res.status === 201) {
    added.add(1);
  } else {
    sleep(1);
  }
}
