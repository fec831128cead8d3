// estres: the mix of a working day in growing steps, until it is clear where the knee is. The first step must hold the SLO. Beyond
// the knee the service may refuse, politely; it may not break. The table at the end says where the knee was.
import { check } from 'k6';
import exec from 'k6/execution';
import { aDay, common, duration, rate, refused, seconds, setup as prepare, slo, teardown as clean, vus } from './lib.js';

const unit = rate(slo.rate);
const time = duration('30s');
const pause = 5;
const steps = [1, 2, 3, 4, 6, 8, 10, 12, 16, 20].map((n, i) => ({ name: `paso${i}`, rate: n * unit, start: i * (seconds(time) + pause) }));

const scenarios = {};
const thresholds = {
  [`http_req_duration{scenario:${steps[0].name}}`]: [`p(${slo.objective})<${slo.seconds * 1000}`],
  [`http_req_failed{scenario:${steps[0].name}}`]: [`rate<${slo.errors}`],
  [`iterations{scenario:${steps[0].name}}`]: [`count>=${Math.floor(steps[0].rate * seconds(time) * 0.9)}`],
  'checks{check:served or politely refused}': [`rate>${1 - slo.errors}`],
};
for (const step of steps) {
  scenarios[step.name] = {
    executor: 'constant-arrival-rate', rate: step.rate, timeUnit: '1s', duration: time, startTime: `${step.start}s`,
    preAllocatedVUs: Math.min(vus(50), step.rate), maxVUs: Math.min(step.rate, 1000), gracefulStop: `${pause}s`,
  };
  // A series is kept for the table only when something asks for it.
  thresholds[`http_req_duration{scenario:${step.name},expected_response:true}`] = [`p(${slo.objective})>=0`];
  for (const [metric, condition] of [['http_req_failed', 'rate>=0'], ['http_reqs', 'count>=0'], ['dropped_iterations', 'count>=0']]) {
    const series = `${metric}{scenario:${step.name}}`;
    thresholds[series] = (thresholds[series] || []).concat(condition);
  }
}

export const options = Object.assign({}, common, { scenarios, thresholds });

export const setup = () => prepare();
export const teardown = clean;

export default function (data) {
  const res = aDay(data);
  check(res, { 'served or politely refused': (r) => (r.status >= 200 && r.status < 400) || refused(r) }, { paso: exec.scenario.name });
}

export function handleSummary(data) {
  const value = (series, stat) => (data.metrics[series] ? data.metrics[series].values[stat] || 0 : 0);
  const stat = `p(${slo.objective})`;
  const lines = [`asked/s  sent/s  served/s  refused or failed  ${stat} of the served`];
  let knee = 0;
  for (const step of steps) {
    const sent = value(`http_reqs{scenario:${step.name}}`, 'count') / seconds(time);
    const failed = value(`http_req_failed{scenario:${step.name}}`, 'rate');
    const latency = value(`http_req_duration{scenario:${step.name},expected_response:true}`, stat);
    const served = sent * (1 - failed);
    if (failed < slo.errors && latency < slo.seconds * 1000 && served >= step.rate * 0.95) {
      knee = step.rate;
    }
    lines.push(`${String(step.rate).padStart(7)}${sent.toFixed(0).padStart(8)}${served.toFixed(0).padStart(10)}${(failed * 100).toFixed(2).padStart(18)} %${latency.toFixed(0).padStart(16)} ms`);
  }
  const failures = [];
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [condition, result] of Object.entries(metric.thresholds || {})) {
      if (!result.ok) {
        failures.push(`missed: ${name} ${condition}`);
      }
    }
  }
  lines.push(knee ? `the SLO held up to ${knee} requests a second` : 'the SLO held at no step', ...failures);
  return { stdout: `${lines.join('\n')}\n` };
}
