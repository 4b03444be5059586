package edgeskin

import java.nio.ByteBuffer

/**
 * A model's output: a buffer's bytes from position to limit, aligned for its type. Integers stand for
 * scale * (q - zeroPoint).
 */
class Tensor(
    val data: ByteBuffer,
    val type: ElementType,
    val scale: Double = 1.0,
    val zeroPoint: Int = 0,
) {
    constructor(values: FloatArray) :
        this(direct(values.size * 4).also { it.asFloatBuffer().put(values) }, ElementType.FLOAT32)

    internal val memory get() = Memory.of(data)

    /** A place for `count` floats. A count that the tensor cannot have is for C to refuse. */
    internal fun floats(count: Int) = FloatArray(count.coerceIn(0, data.remaining()))

    /** `count` values as floats. */
    fun dequantized(count: Int): FloatArray = floats(count).also {
        val m = memory
        Native.dequantize(m.base, m.offset, m.bytes, type.code, scale, zeroPoint, count, it)
    }
}

data class Class(val index: Int, val score: Float)

/** @param top the best, in falling order; the lower index first among equals. */
class Classification(val scores: FloatArray, val top: List<Class>)

/** `classes` values to scores and the best `top` of them. */
fun classify(
    logits: Tensor, classes: Int, activation: Activation = Activation.SOFTMAX, top: Int = 1,
): Classification {
    val (scores, m) = logits.floats(classes) to logits.memory
    val best = direct(8 * top.coerceIn(0, scores.size))
    Native.classify(
        m.base, m.offset, m.bytes, logits.type.code, logits.scale, logits.zeroPoint, classes, activation.code,
        scores, best, top,
    )
    return Classification(scores, List(top) { Class(best.getInt(8 * it), best.getFloat(8 * it + 4)) })
}

/**
 * A quantity as a distribution over first, first + step, ...
 *
 * @param low the central interval that holds at least `share` of the mass, up to `high`.
 * @param grade the grade with the most mass; -1 without a range table.
 */
class Quantity(
    val mass: FloatArray,
    val expectation: Double, val mode: Double, val low: Double, val high: Double, val grade: Int,
)

/** `size` values to a quantity; `upper` are inclusive upper bounds of all grades but the last. */
fun measure(
    logits: Tensor, size: Int, activation: Activation = Activation.SOFTMAX, first: Double, step: Double = 1.0,
    share: Double = 0.9, upper: DoubleArray = doubleArrayOf(),
): Quantity {
    val (mass, m) = logits.floats(size) to logits.memory
    val found = DoubleArray(4)
    val grade = Native.measure(
        m.base, m.offset, m.bytes, logits.type.code, logits.scale, logits.zeroPoint, size, activation.code,
        first, step, share, upper, mass, found,
    )
    return Quantity(mass, found[0], found[1], found[2], found[3], grade)
}

/** The grade of a value: index of the first bound that it does not exceed, else how many there are. */
fun grade(value: Double, upper: DoubleArray): Int = Native.grade(value, upper)
