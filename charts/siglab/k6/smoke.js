// smoke: one user, every kind of call, a minute at most. Does the test itself work against this release?
import { aDay, common, minIterations, setup as prepare, teardown as clean, thresholds } from './lib.js';

const iterations = minIterations(150);

export const options = Object.assign({}, common, {
  scenarios: { smoke: { executor: 'shared-iterations', vus: 1, iterations, maxDuration: '2m' } },
  thresholds: thresholds('smoke', iterations),
});

export const setup = () => prepare(10);
export const teardown = clean;
export default aDay;
