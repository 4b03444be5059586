// One line of cases.txt: its values by key, and what the Kotlin API makes of them.

import edgeskin.EdgeskinException
import java.nio.ByteBuffer
import java.nio.ByteOrder

class Case(line: String, private val data: ByteArray) {
    val function: String
    val name: String
    val given: Map<String, String>
    val expected: Map<String, String>

    init {
        val (arguments, results) = line.split(" => ")
        val words = arguments.split(" ")
        function = words[0]
        name = words[1]
        given = words.drop(2).associate(::pair)
        val halves = results.split(" message=", limit = 2)
        val message = halves.drop(1).associateBy { "message" }
        expected = halves[0].split(" ").associate(::pair) + message
    }

    private fun pair(word: String) = word.substringBefore('=') to word.substringAfter('=')

    /** null if every result is equal in every bit, else what differs first. */
    fun difference(): String? {
        val found = try {
            run(this)
        } catch (error: EdgeskinException) {
            mapOf("status" to error.status, "message" to error.message)
        }
        for ((key, text) in expected) {
            val value = found[key] ?: return "$key is missing, got $found"
            if (!equal(value, text)) return "$key is $value, expected $text"
        }
        val more = found.keys - expected.keys
        return if (more.isEmpty()) null else "$more are not expected"
    }

    private fun equal(value: Any, written: String): Boolean = when (value) {
        is String -> value == written
        is ByteArray -> value.contentEquals(blob(written))
        is FloatArray -> equal(ByteBuffer.allocate(4 * value.size).little().also { it.asFloatBuffer().put(value) }.array(), written)
        is Choice -> value.code == CODES[written]
        is Number -> value.toDouble().toRawBits() == written.toDouble().toRawBits()
        is List<*> -> value.map { (it as Number).toDouble().toRawBits() } == numbers(written).map(Double::toRawBits)
        else -> false
    }

    fun int(key: String, otherwise: Int = 0): Int = given[key]?.toInt() ?: otherwise

    fun double(key: String, otherwise: Double = 0.0): Double = given[key]?.let(::number) ?: otherwise

    fun doubles(key: String): List<Double> = numbers(given[key].orEmpty())

    fun choice(key: String, otherwise: Int): Int = given[key]?.let { it.toIntOrNull() ?: CODES.getValue(it) } ?: otherwise

    fun blobs(key: String): List<ByteArray> = given[key].orEmpty().split(",").filter(String::isNotEmpty).map(::blob)

    private fun blob(written: String): ByteArray {
        val (offset, length) = written.split(":").map(String::toInt)
        return data.copyOfRange(offset, offset + length)
    }
}

/** A value of an enum. */
class Choice(val code: Int) {
    override fun toString() = "$code"
}

fun ByteBuffer.little(): ByteBuffer = order(ByteOrder.LITTLE_ENDIAN)

private fun number(text: String) = when (text) {
    "nan" -> Double.NaN
    "inf" -> Double.POSITIVE_INFINITY
    "-inf" -> Double.NEGATIVE_INFINITY
    else -> text.toDouble()
}

private fun numbers(text: String) = text.split(",").filter(String::isNotEmpty).map(::number)

/** Names of edgeskin.h's enums; no two of them mean different numbers. */
private val CODES: Map<String, Int> = listOf(
    "rgb bgr rgba bgra grey nv12 nv21 i420", "bt601 bt709", "video_range full_range",
    "squash shortest_edge letterbox", "nearest box bilinear hamming bicubic lanczos",
    "uint8 int8 float32 float16", "nhwc nchw", "no_activation softmax sigmoid",
).flatMap { names -> names.split(" ").mapIndexed { code, name -> name to code } }.toMap()
