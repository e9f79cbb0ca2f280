// The playground's clinic in words: the program's lines, its bugs with symptom and hint, the five checks.
// What each bug does stands in trainer.js, under the same names.
"use strict";

{
const noise_of_another_width = {
  symptom: "A rate of less than half a nat buys a better ELBO than the healthy program's; the second opinion is far worse, and gets worse the longer it trains.",
  hint: "Is the noise as wide as the KL thinks it is?",
};

live.clinic = {
  lines: {
    encode: "mean, log_var = encode(x)",
    std: "std = exp(log_var / 2)",
    z: "z = mean + std * noise",
    logits: "logits = decode(z)",
    distortion: "distortion = -sum(x * logits - softplus(logits))",
    rate: "rate = sum(mean ** 2 + exp(log_var) - 1 - log_var) / 2",
    loss: "loss = mean(distortion + beta * rate)",
  },
  sick: {
    log_var_as_sigma: { line: "std", code: "std = log_var", name: "log-variance as std", check: "noise",
      ...noise_of_another_width },
    half_log_var: { line: "std", code: "std = log_var / 2", name: "half the log-variance as std", check: "noise",
      ...noise_of_another_width },
    variance_as_sigma: { line: "std", code: "std = exp(log_var)", name: "variance as std", check: "noise",
      symptom: "An ELBO one or two nats too good, and nothing to see; the second opinion is as much too bad.",
      hint: "Ask for a standard deviation of 3, and measure what comes." },
    detached: { line: "z", code: "z = (mean + std * noise).detach()", name: "z cut off from its gradient", check: "reaches",
      symptom: "The rate falls to zero, every picture is the mean image, and report and truth agree.",
      hint: "Every value is right. What is wrong is a gradient." },
    squashed_twice: { line: "logits", code: "logits = sigmoid(decode(z))", name: "squashed twice", check: "certain",
      symptom: "The distortion sticks near 196 log 2 = 136 nats, what knowing nothing costs, and no pixel gets darker than grey.",
      hint: "What does a decoder pay that is certain, and right?" },
    mean_over_pixels: { line: "distortion", code: "distortion = -mean(x * logits - softplus(logits))", name: "a mean over pixels", check: "pixels",
      symptom: "A tiny loss, a rate of zero, and every picture the mean image.",
      hint: "Would twice the pixels cost twice as much?" },
    kl_sign: { line: "loss", code: "loss = mean(distortion - beta * rate)", name: "the KL's sign", check: "beta",
      symptom: "The reported ELBO passes zero and rises without end, the codes leave the plane.",
      hint: "By how much does one nat of rate raise the loss?" },
    beta_ignored: { line: "loss", code: "loss = mean(distortion + rate)", name: "beta ignored", check: "beta",
      symptom: "Turning beta changes nothing: at 4 the run is that of 1, number by number.",
      hint: "Turn beta far up while it trains. What should the rate do?" },
    no_kl: { line: "loss", code: "loss = mean(distortion)", name: "no KL", check: "beta",
      symptom: "The rate climbs past ten nats and the codes spread far beyond the prior, from which the samples' codes still come.",
      hint: "Look at the axes of the plane, and at the rate." },
  },
  words: {
    pixels: "What twice the pixels cost, over what they cost once",
    certain: "What a decoder pays that is certain and right, in nats",
    noise: "The noise's standard deviation, beside the one that the KL assumes",
    beta: "What a nat of rate adds to the loss at beta = 4",
    reaches: "The size of the reconstruction's gradient at the encoder",
  },
};
}
