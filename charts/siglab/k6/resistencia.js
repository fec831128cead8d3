// resistencia: the mix of a working day for hours, at the rate that the SLO promises. Leaks and growing queues show in the
// dashboards beside it; what fails the test is the SLO over the whole time.
import { aDay, common, duration, minIterations, rate, seconds, setup as prepare, slo, teardown as clean, thresholds, vus } from './lib.js';

const perSecond = rate(slo.rate);
const time = duration('4h');

export const options = Object.assign({}, common, {
  scenarios: {
    resistencia: {
      executor: 'constant-arrival-rate', rate: perSecond, timeUnit: '1s', duration: time,
      preAllocatedVUs: vus(50), maxVUs: Math.max(vus(50), perSecond),
      gracefulStop: '35s',
    },
  },
  thresholds: thresholds('resistencia', minIterations(perSecond * seconds(time) * 0.99)),
});

export const setup = () => prepare();
export const teardown = clean;
export default aDay;
