package edgeskin

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What the C library refused: the name of its status ("ES_BAD_CROP") and its message. */
class EdgeskinException(val status: String, override val message: String) : IllegalArgumentException(message)

/**
 * The C functions, as jni/edgeskin_jni.cpp gives them. Numbers of a structure travel in an IntArray
 * and a DoubleArray, in the order of its fields in edgeskin.h; memory as a direct ByteBuffer or a
 * ByteArray.
 */
internal object Native {
    init {
        System.loadLibrary("edgeskin")
    }

    external fun version(): Int
    external fun useKernels(kernels: Int)
    external fun kernelsName(): String

    external fun recipeFromSpec(text: ByteArray, ints: IntArray, reals: DoubleArray)
    external fun outputBytes(ints: IntArray, reals: DoubleArray): Long
    external fun place(
        image: IntArray, ints: IntArray, reals: DoubleArray, foundInts: IntArray, foundReals: DoubleArray,
    )
    external fun preprocessWorkspace(image: IntArray, ints: IntArray, reals: DoubleArray): Long
    external fun preprocess(
        image: IntArray, plane0: Any?, plane1: Any?, plane2: Any?, offsets: IntArray,
        ints: IntArray, reals: DoubleArray, mask: ByteArray?, maskWidth: Int, maskHeight: Int, keepAndFill: ByteArray?,
        output: Any, outputOffset: Int, outputBytes: Int, workspace: ByteBuffer,
    )
    external fun interleaved(first: ByteBuffer, firstAt: Int, second: ByteBuffer, secondAt: Int, secondBytes: Int): ByteBuffer?

    external fun dequantize(
        data: Any, offset: Int, bytes: Int, type: Int, scale: Double, zeroPoint: Int, count: Int, values: FloatArray,
    )
    external fun classify(
        data: Any, offset: Int, bytes: Int, type: Int, scale: Double, zeroPoint: Int,
        classes: Int, activation: Int, scores: FloatArray, top: ByteBuffer, topCount: Int,
    )
    external fun measure(
        data: Any, offset: Int, bytes: Int, type: Int, scale: Double, zeroPoint: Int,
        size: Int, activation: Int, first: Double, step: Double, share: Double, upper: DoubleArray,
        mass: FloatArray, found: DoubleArray,
    ): Int
    external fun grade(value: Double, upper: DoubleArray): Int

    external fun segment(
        data: Any, offset: Int, bytes: Int, type: Int, scale: Double, zeroPoint: Int,
        classes: Int, width: Int, height: Int, layout: Int, ints: IntArray, reals: DoubleArray,
        mask: ByteArray?, counts: LongArray?, workspace: ByteBuffer?,
    ): Long
    external fun componentsWorkspace(width: Int): Long
    external fun components(
        pixels: ByteArray, width: Int, height: Int, value: Int, connectivity: Int, minArea: Long,
        boxes: ByteBuffer, capacity: Int, workspace: ByteBuffer,
    ): Int
    external fun findCropsWorkspace(width: Int): Long
    external fun findCrops(
        skin: ByteArray, skinWidth: Int, skinHeight: Int, lesion: ByteArray, lesionWidth: Int, lesionHeight: Int,
        ints: IntArray, reals: DoubleArray, boxes: ByteBuffer, capacity: Int, workspace: ByteBuffer,
    ): Int
}

/** The code path of the whole process. Bytes are the same on each. */
enum class Kernels {
    BEST, SCALAR, AVX2, NEON;

    fun use() = Native.useKernels(ordinal)

    companion object {
        val name: String get() = Native.kernelsName()
    }
}

/** Scratch memory that only ever grows, to 2 MB at most. One call at a time may use it. */
class Workspace {
    private var bytes: ByteBuffer = direct(0)

    internal fun reserve(count: Long): ByteBuffer {
        if (bytes.capacity() < count) bytes = direct(count.toInt())
        return bytes
    }
}

/** A new direct buffer in the machine's byte order. */
internal fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

/** A size as Java's arrays and buffers have it. */
internal fun size(bytes: Long): Int =
    if (bytes in 0..Int.MAX_VALUE) bytes.toInt()
    else throw EdgeskinException("ES_BAD_SIZE", "$bytes bytes do not fit into one buffer of Java's")

/** A buffer's bytes from position to limit, as the C side takes them. */
internal class Memory private constructor(val base: Any, val offset: Int, val bytes: Int) {
    companion object {
        fun of(buffer: ByteBuffer): Memory = when {
            buffer.isDirect -> Memory(buffer, buffer.position(), buffer.remaining())
            buffer.hasArray() -> Memory(buffer.array(), buffer.arrayOffset() + buffer.position(), buffer.remaining())
            else -> { // a read-only view of an array
                val copy = ByteArray(buffer.remaining())
                buffer.duplicate().get(copy)
                Memory(copy, 0, copy.size)
            }
        }
    }
}
