// carga: the steady mix of a working day, at a tenth more than the rate that the SLO promises of one instance. Requests come at
// their own pace, whether or not the last one has been answered: a service that slows down gets no relief from the test.
import { aDay, common, duration, minIterations, rate, seconds, setup as prepare, slo, teardown as clean, thresholds, vus } from './lib.js';

const perSecond = rate(slo.rate * 1.1);
const time = duration('5m');

export const options = Object.assign({}, common, {
  scenarios: {
    carga: {
      executor: 'constant-arrival-rate', rate: perSecond, timeUnit: '1s', duration: time,
      // Enough to keep the rate while answers take a second, twice what the SLO has.
      preAllocatedVUs: vus(50), maxVUs: Math.max(vus(50), perSecond),
      gracefulStop: '35s',
    },
  },
  // Nine tenths of what was to be sent: at the default rate, 99 % of the promised one.
  thresholds: thresholds('carga', minIterations(perSecond * seconds(time) * 0.9)),
});

export const setup = () => prepare();
export const teardown = clean;
export default aDay;
