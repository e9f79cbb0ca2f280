// The ring, one toy for chapters 1 to 4: a latent z from N(0, 1), an "image" x of two pixels,
//   p(x | z) = N(x; 1.5 (sin 1.8 z, -cos 1.8 z), 0.3^2 I).
// The line of codes has gone round at the top and meets itself, so an x there has a posterior with two peaks.
// A figure names "ring" among its needs and finds in live.ring, all in nats and for numbers z, mean, log_var:
//   mean(z)                               the decoder's mean, [x1, x2]
//   log_likelihood(x, z), log_prior(z)    log p(x | z), log p(z); log_joint(x, z) is their sum
//   score(x, z)                           d log_joint / dz, what the pathwise gradient carries
//   log_evidence(x)                       log p(x), by quadrature over grid (step apart, from -8 to 8)
//   log_posterior(x)                      a function of z: log p(z | x)
//   expected_log_likelihood(x, mean, log_var), kl(mean, log_var), elbo(x, mean, log_var)
//                                         of q = N(mean, exp(log_var)): closed forms, nothing drawn
//   slopes(x, mean, log_var)              [d elbo / d mean, d elbo / d log_var], closed forms too
//   images                                the x of notebook 1 (bottom, top, middle), and one at the side
"use strict";

live.ring = (function () {
  const radius = 1.5, speed = 1.8, sigma = 0.3, step = 0.04;
  const grid = Array.from({ length: 401 }, (_, i) => (i - 200) * step);
  const constant = -Math.log(2 * Math.PI * sigma ** 2);

  const mean = (z) => [radius * Math.sin(speed * z), -radius * Math.cos(speed * z)];
  const images = { bottom: [0, -1.5], side: mean(0.8), top: [0, 1.6], middle: [0, 0] };

  // |x - mean(z)|^2 = |x|^2 + radius^2 - 2 radius (x1 sin - x2 cos), whose waves a normal q only damps
  const squared = ([x1, x2], sin, cos) => x1 * x1 + x2 * x2 + radius ** 2 - 2 * radius * (x1 * sin - x2 * cos);
  const gaussian = (x, sin, cos) => constant - squared(x, sin, cos) / (2 * sigma ** 2);
  const log_likelihood = (x, z) => gaussian(x, Math.sin(speed * z), Math.cos(speed * z));
  const log_prior = (z) => vaelib.normal_log_density([z], [0], [0]);
  const log_joint = (x, z) => log_likelihood(x, z) + log_prior(z);
  // d/dz of (x1 sin - x2 cos) times radius / sigma^2
  const pull = ([x1, x2], sin, cos) => (radius * speed * (x1 * cos + x2 * sin)) / sigma ** 2;
  const score = (x, z) => pull(x, Math.sin(speed * z), Math.cos(speed * z)) - z;

  const log_evidence = (x) => Math.log(step) + vaelib.logsumexp(grid.map((z) => log_joint(x, z)));
  function log_posterior(x) {
    const evidence = log_evidence(x);
    return (z) => log_joint(x, z) - evidence;
  }

  // E_q sin(speed z) and E_q cos(speed z)
  function waves(m, log_var) {
    const damping = Math.exp(-(speed ** 2) * Math.exp(log_var) / 2);
    return [damping * Math.sin(speed * m), damping * Math.cos(speed * m)];
  }
  const expected_log_likelihood = (x, m, log_var) => gaussian(x, ...waves(m, log_var));
  const kl = (m, log_var) => vaelib.kl_per_dimension([m], [log_var])[0];
  const elbo = (x, m, log_var) => expected_log_likelihood(x, m, log_var) - kl(m, log_var);
  function slopes(x, m, log_var) {
    const [sin, cos] = waves(m, log_var), variance = Math.exp(log_var);
    const height = (radius * (x[0] * sin - x[1] * cos)) / sigma ** 2; // the part that the width damps
    return [pull(x, sin, cos) - m, -0.5 * speed ** 2 * variance * height - 0.5 * (variance - 1)];
  }

  return { radius, speed, sigma, grid, step, images, mean, log_likelihood, log_prior, log_joint, score,
    log_evidence, log_posterior, expected_log_likelihood, kl, elbo, slopes };
})();
